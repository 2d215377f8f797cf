import { createHash, timingSafeEqual } from 'node:crypto';
import { addressFilter } from './addresses.ts';
import { whyNotLocal } from './local-only.ts';
import type { LocalRefusal, Neighbour } from './local-only.ts';

/** Who asks. `keyId` is undefined where no keys are configured. */
export type Principal = { keyId: string | undefined; models: readonly string[]; admin: boolean };

export type Key = {
  id: string;
  /** Hex. */
  secretSha256: string;
  models: readonly string[];
  ips: readonly string[];
};

export type Credentials = Neighbour & {
  /** `Authorization`, as sent. */
  authorization: string | undefined;
  /** `x-api-key`, as sent. */
  apiKey: string | undefined;
};

export type RefusalReason = 'no_key' | 'unknown_key' | 'address' | LocalRefusal;

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
