import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIP, isIPv6 } from 'node:net';

/** Who asks. `keyId` is undefined where no keys are configured. */
export type Principal = { keyId: string | undefined; models: readonly string[]; admin: boolean };

export type Key = {
  id: string;
  /** Hex. */
  secretSha256: string;
  models: readonly string[];
  ips: readonly string[];
};

export type Credentials = {
  /** `Authorization`, as sent. */
  authorization: string | undefined;
  /** `x-api-key`, as sent. */
  apiKey: string | undefined;
  /** The client's: of the socket, or what proxies that are trusted say. */
  address: string;
  /** `Origin` and `Host`, as sent: who asks through a browser, and whom it believes to ask. */
  origin?: string | undefined;
  host?: string | undefined;
};

export type RefusalReason = 'no_key' | 'unknown_key' | 'address' | 'loopback_only' | 'foreign_page';

export type Verdict =
  | { kind: 'admitted'; principal: Principal }
  /** `keyId`: whose key it was, where it was one. */
  | { kind: 'refused'; reason: RefusalReason; keyId?: string };

export type Gate = (credentials: Credentials) => Verdict;

const anyModel = ['*'];
/** Characters that are hashed at most: what the head of a request can hold. A key is not that long. */
const longestSecret = 16 * 1024;

/**
 * Decides who may enter, from the config's keys: once built, a pure function. `origins`: the pages
 * that may use a server without keys, beside those of this machine.
 */
export function createGate(
  keys: readonly Key[] | undefined,
  origins: readonly string[] = [],
): Gate {
  const isWelcome = (origin: string | undefined): boolean =>
    isLocalName(hostOf(origin)) || origins.includes('*') || origins.includes(origin ?? '');
  if (!keys) {
    return ({ address, origin, host }) => {
      if (!isLoopback(address)) return { kind: 'refused', reason: 'loopback_only' };
      // A page of another site, or one whose name was made to point here, speaks through a browser
      // on this machine.
      if (!isWelcome(origin) || !isLocalName(hostOf(host && `http://${host}`))) {
        return { kind: 'refused', reason: 'foreign_page' };
      }
      return {
        kind: 'admitted',
        principal: { keyId: undefined, models: anyModel, admin: false },
      };
    };
  }
  const gates = keys.map((key) => ({
    key,
    digest: Buffer.from(key.secretSha256, 'hex'),
    allows: key.ips.length === 0 ? () => true : addressFilter(key.ips),
  }));
  return ({ authorization, apiKey, address }) => {
    const secret = bearer(authorization) ?? apiKey;
    if (!secret) return { kind: 'refused', reason: 'no_key' };
    if (secret.length > longestSecret) return { kind: 'refused', reason: 'unknown_key' };
    const digest = createHash('sha256').update(secret).digest();
    // Every key is compared, in constant time: how long it takes says nothing about which one fits.
    let found: (typeof gates)[number] | undefined;
    for (const gate of gates) if (timingSafeEqual(gate.digest, digest)) found = gate;
    if (!found) return { kind: 'refused', reason: 'unknown_key' };
    const { id, models } = found.key;
    if (!found.allows(address)) return { kind: 'refused', reason: 'address', keyId: id };
    return { kind: 'admitted', principal: { keyId: id, models, admin: false } };
  };
}

export const mayUse = ({ models }: Principal, alias: string): boolean =>
  models.includes('*') || models.includes(alias);

/** Whether a request belongs to who asks; for anyone else it does not exist. */
export const maySee = (principal: Principal, owner: { keyId?: string | undefined }): boolean =>
  principal.admin || principal.keyId === owner.keyId;

function bearer(authorization: string | undefined): string | undefined {
  return /^Bearer\s+(\S+)\s*$/i.exec(authorization ?? '')?.[1];
}

/** Undefined where there is none; an empty text where it cannot be read. */
function hostOf(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  return URL.canParse(url) ? new URL(url).hostname : '';
}

function isLocalName(name: string | undefined): boolean {
  if (name === undefined || name === 'localhost' || name.endsWith('.localhost')) return true;
  const address = name.replace(/^\[|\]$/g, '');
  return isIP(address) !== 0 && isLoopback(address);
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

export const isLoopback = (address: string): boolean => contains(loopback, address);

/** Whether an address is one of these, or in one of these ranges. */
export function addressFilter(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => contains(list, address);
}

/** IPv4 addresses of a dual-stack socket come as `::ffff:a.b.c.d`. */
function contains(list: BlockList, address: string): boolean {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}
