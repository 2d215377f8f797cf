import { createHash, randomBytes } from 'node:crypto';

/** Shows people and secret scanners whose secret it is. */
const prefix = 'mr-';

/** 256 bits. */
const secretBytes = 32;

/** A new secret of a key, and what is kept of it. */
export function newSecret(): { secret: string; sha256: string } {
  const secret = prefix + randomBytes(secretBytes).toString('base64url');
  return { secret, sha256: createHash('sha256').update(secret).digest('hex') };
}
