import { createHash } from 'node:crypto';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';

/** Identifies repeated calls, so that they create one request. */
export type Idempotency = {
  kind: 'idempotent';
  /** The Idempotency-Key, as sent. */
  key: string;
  /** Of the bytes and the route. */
  fingerprint: string;
};

/** Bytes of an Idempotency-Key. */
const longestKey = 255;

/**
 * The Idempotency-Key of a call, with the fingerprint of the request; undefined where none was sent. Refuses a key
 * that is empty, too long, has control characters, or is no Unicode text.
 */
export function readIdempotency(
  value: unknown,
  asked: { route: string; text: string },
  param = 'Idempotency-Key',
): Idempotency | Refused | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !isKey(value)) {
    return refuse('invalid_idempotency_key', { param, maxBytes: longestKey });
  }
  return { kind: 'idempotent', key: value, fingerprint: sha256(`${asked.route}\n${asked.text}`) };
}

// Half a surrogate pair has no bytes of its own: two keys would have one hash.
const isKey = (key: string): boolean =>
  key !== '' && key.isWellFormed() && Buffer.byteLength(key) <= longestKey && !/\p{Cc}/u.test(key);

/**
 * Where a key's request is found: by a hash that no other API key shares, in the shard that follows
 * from it, so that the key and its request are in one slot. Another number of shards is another
 * place: a key that was used before the change is new after it.
 */
export function placeOf(keyId: string | undefined, key: string, shards: number) {
  const hash = sha256(JSON.stringify([keyId ?? null, key]));
  return { hash, shard: Number.parseInt(hash.slice(0, 12), 16) % shards };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
