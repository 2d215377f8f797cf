import type { Redis } from '../redis.ts';
import { killMessage } from '../../domain/order.ts';
import type { Keyspace } from '../keys.ts';

/**
 * Asks a worker to kill itself, without a drain; with a request, only if it runs that. A worker whose config has no `chaos: true`
 * ignores it. Resolves with whether it listens.
 */
export async function sendKill(
  redis: Redis,
  keys: Keyspace,
  worker: string,
  request: string | undefined,
): Promise<boolean> {
  const heard = await redis.spublish(keys.worker(0, worker), killMessage + (request ?? ''));
  return Number(heard) > 0;
}
