import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { standsFor } from '@millrace/shared/domain/model-names';
import { addressFilter } from './addresses.ts';
import { whyNotLocal } from './local-only.ts';
import type { LocalRefusal, Peer } from './local-only.ts';

/** The identity behind a request. `keyId` is undefined if the fleet has no keys. */
export type Principal = {
  keyId: string | undefined;
  models: readonly string[];
  admin: boolean;
  /** SHA-256 of the secret that was shown, in hex: the principal ends with it, or with its key. */
  secretSha256?: string;
};

export type Key = {
  id: string;
  /** Any of them is valid; the last one is the newest. */
  secrets: readonly Secret[];
  models: readonly string[];
  ips: readonly string[];
  /** Milliseconds since the epoch. */
  expiresAt?: number;
  revokedAt?: number;
};

/** `sha256`: hex. `until`: valid before this time (ms since the epoch); absent: as long as the key. */
export type Secret = { sha256: string; until?: number };

export type Credentials = Peer & {
  /** `Authorization`, as sent. */
  authorization: string | undefined;
  /** `x-api-key`, as sent. */
  apiKey: string | undefined;
};

/** Why a key, or one of its secrets, is not valid any more. */
export type EndOfKey = 'revoked_key' | 'expired_key' | 'old_secret';

export type RefusalReason = 'no_key' | 'unknown_key' | EndOfKey | 'address' | LocalRefusal;

export type KeyVerdict =
  | { kind: 'admitted'; principal: Principal }
  /** `keyId`: of the key, if the secret is that of a key. */
  | { kind: 'refused'; reason: RefusalReason; keyId?: string };

export type KeyVerifier = (credentials: Credentials) => KeyVerdict;

const anyModel = ['*'];
/** Characters. A longer secret is rejected unhashed; the head of a request can hold no more. */
const longestSecret = 16 * 1024;

/** Bytes of a digest by which keys are found. */
const prefixBytes = 6;

type Entry = { key: Key; secret: Secret; digest: Buffer };

/** What a digest that matches no prefix is compared with, so that it takes as long as any other. */
const nothing: readonly Pick<Entry, 'digest'>[] = [{ digest: randomBytes(32) }];

/**
 * Makes the function that checks credentials against these keys; it is pure but for the clock. `origins`: the
 * web origins that may use a server without keys, in addition to those of this machine.
 */
export function createKeyVerifier(
  keys: Iterable<Key> | undefined,
  origins: readonly string[] = [],
  now: () => number = Date.now,
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
  const byPrefix = indexOf(keys);
  const filters = new WeakMap<Key, (address: string) => boolean>();
  const allows = (key: Key, address: string): boolean => {
    if (key.ips.length === 0) return true;
    let filter = filters.get(key);
    if (!filter) filters.set(key, (filter = addressFilter(key.ips)));
    return filter(address);
  };
  return ({ authorization, apiKey, address }) => {
    const shown = bearer(authorization) ?? apiKey;
    if (!shown) return { kind: 'refused', reason: 'no_key' };
    if (shown.length > longestSecret) return { kind: 'refused', reason: 'unknown_key' };
    const digest = createHash('sha256').update(shown).digest();
    // A client cannot choose the digest, so finding its prefix reveals nothing of a secret; the rest is compared in constant
    // time, once also if there is none to compare with.
    let found: Entry | undefined;
    for (const entry of byPrefix.get(digest.readUIntBE(0, prefixBytes)) ?? nothing) {
      if (timingSafeEqual(entry.digest, digest)) found = entry as Entry;
    }
    if (!found) return { kind: 'refused', reason: 'unknown_key' };
    const { key, secret } = found;
    const { id, models } = key;
    const ended = endOf(key, secret, now());
    if (ended) return { kind: 'refused', reason: ended, keyId: id };
    if (!allows(key, address)) return { kind: 'refused', reason: 'address', keyId: id };
    const principal = { keyId: id, models, admin: false, secretSha256: secret.sha256 };
    return { kind: 'admitted', principal };
  };
}

function indexOf(keys: Iterable<Key>): Map<number, Entry[]> {
  const byPrefix = new Map<number, Entry[]>();
  for (const key of keys) {
    for (const secret of key.secrets) {
      const digest = Buffer.from(secret.sha256, 'hex');
      const prefix = digest.readUIntBE(0, prefixBytes);
      const others = byPrefix.get(prefix) ?? [];
      byPrefix.set(prefix, [...others, { key, secret, digest }]);
    }
  }
  return byPrefix;
}

/** Why a secret of a key does not open anything at this time; undefined if it does. */
export function endOf(
  { revokedAt, expiresAt = Infinity }: Key,
  { until = Infinity }: Pick<Secret, 'until'>,
  now: number,
): EndOfKey | undefined {
  if (revokedAt !== undefined) return 'revoked_key';
  if (now >= expiresAt) return 'expired_key';
  return now >= until ? 'old_secret' : undefined;
}

/** `name`: as a client asks for it. */
export const mayUse = ({ models }: Principal, name: string): boolean =>
  models.some((listed) => standsFor(listed, name));

/** Whether the principal may see a request; for all others it does not exist. */
export const maySee = (principal: Principal, owner: { keyId?: string | undefined }): boolean =>
  principal.admin || principal.keyId === owner.keyId;

function bearer(authorization: string | undefined): string | undefined {
  return /^Bearer\s+(\S+)\s*$/i.exec(authorization ?? '')?.[1];
}
