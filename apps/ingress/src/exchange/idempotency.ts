import { createHash } from 'node:crypto';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';

/** Identifies repeated calls, so that they create one request. */
export type Idempotency = {
  kind: 'idempotent';
  /** The Idempotency-Key, as sent. */
  key: string;
  /** Fingerprint of the bytes and the route. */
  fingerprint: string;
};

/** Bytes of an Idempotency-Key. */
export const longestIdempotencyKey = 255;

/**
 * The Idempotency-Key of a call, with the fingerprint of the request; undefined if none was sent. Refuses a
 * key that is empty, too long, has control characters, or is not valid Unicode.
 */
export function readIdempotency(
  value: unknown,
  asked: { route: string; text: string },
  param = 'Idempotency-Key',
): Idempotency | Refused | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !isKey(value)) {
    return refuse('invalid_idempotency_key', { param, maxBytes: longestIdempotencyKey });
  }
  return { kind: 'idempotent', key: value, fingerprint: sha256(`${asked.route}\n${asked.text}`) };
}

// A lone surrogate has no encoding of its own: two keys would have the same hash.
const isKey = (key: string): boolean =>
  key !== '' &&
  key.isWellFormed() &&
  Buffer.byteLength(key) <= longestIdempotencyKey &&
  !/\p{Cc}/u.test(key);

/**
 * The location of a key's request: a hash that no other API key shares, and the shard that follows from it,
 * so that the key and its request are in one slot. If the number of shards changes, locations change: a key
 * that was used before counts as new.
 */
export function placeOf(keyId: string | undefined, key: string, shards: number) {
  const hash = sha256(JSON.stringify([keyId ?? null, key]));
  return { hash, shard: Number.parseInt(hash.slice(0, 12), 16) % shards };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
