import { createHash, timingSafeEqual } from 'node:crypto';
import { addressFilter } from './addresses.ts';
import { whyNotLocal } from './local-only.ts';
import type { LocalRefusal, Peer } from './local-only.ts';

/** The identity behind a request. `keyId` is undefined if the config has no keys. */
export type Principal = { keyId: string | undefined; models: readonly string[]; admin: boolean };

export type Key = {
  id: string;
  /** Hex. */
  secretSha256: string;
  models: readonly string[];
  ips: readonly string[];
};

export type Credentials = Peer & {
  /** `Authorization`, as sent. */
  authorization: string | undefined;
  /** `x-api-key`, as sent. */
  apiKey: string | undefined;
};

export type RefusalReason = 'no_key' | 'unknown_key' | 'address' | LocalRefusal;

export type KeyVerdict =
  | { kind: 'admitted'; principal: Principal }
  /** `keyId`: of the key, if the secret is that of a key. */
  | { kind: 'refused'; reason: RefusalReason; keyId?: string };

export type KeyVerifier = (credentials: Credentials) => KeyVerdict;

const anyModel = ['*'];
/** Characters. A longer secret is rejected unhashed; the head of a request can hold no more. */
const longestSecret = 16 * 1024;

/**
 * Makes the function that checks credentials against the keys of the config; it is pure. `origins`: the
 * web origins that may use a server without keys, in addition to those of this machine.
 */
export function createKeyVerifier(
  keys: readonly Key[] | undefined,
  origins: readonly string[] = [],
): KeyVerifier {
  if (!keys) {
    return (credentials) => {
      const reason = whyNotLocal(credentials, origins);
      if (reason) return { kind: 'refused', reason };
      return {
        kind: 'admitted',
        principal: { keyId: undefined, models: anyModel, admin: false },
      };
    };
  }
  const entries = keys.map((key) => ({
    key,
    digest: Buffer.from(key.secretSha256, 'hex'),
    allows: key.ips.length === 0 ? () => true : addressFilter(key.ips),
  }));
  return ({ authorization, apiKey, address }) => {
    const secret = bearer(authorization) ?? apiKey;
    if (!secret) return { kind: 'refused', reason: 'no_key' };
    if (secret.length > longestSecret) return { kind: 'refused', reason: 'unknown_key' };
    const digest = createHash('sha256').update(secret).digest();
    // Compares every key, in constant time, so that the duration does not reveal which one matches.
    let found: (typeof entries)[number] | undefined;
    for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) found = entry;
    if (!found) return { kind: 'refused', reason: 'unknown_key' };
    const { id, models } = found.key;
    if (!found.allows(address)) return { kind: 'refused', reason: 'address', keyId: id };
    return { kind: 'admitted', principal: { keyId: id, models, admin: false } };
  };
}

export const mayUse = ({ models }: Principal, alias: string): boolean =>
  models.includes('*') || models.includes(alias);

/** Whether the principal may see a request; for all others it does not exist. */
export const maySee = (principal: Principal, owner: { keyId?: string | undefined }): boolean =>
  principal.admin || principal.keyId === owner.keyId;

function bearer(authorization: string | undefined): string | undefined {
  return /^Bearer\s+(\S+)\s*$/i.exec(authorization ?? '')?.[1];
}
