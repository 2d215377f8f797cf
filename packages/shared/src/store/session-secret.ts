import { randomBytes } from 'node:crypto';
import type { Keyspace } from './keys.ts';
import type { Redis } from './redis.ts';

/** The random secret of a fleet with which its ingresses sign sessions: the first one that asks makes it. */
export async function readSessionSecret(redis: Redis, keys: Keyspace): Promise<string> {
  const key = keys.sessionSecret();
  const found = await redis.get(key);
  if (found !== null) return found;
  const made = randomBytes(32).toString('base64url');
  await redis.set(key, made, 'NX');
  return (await redis.get(key)) ?? made;
}
