import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../log/redis-scripts.ts';
import type { Presence } from './port.ts';

export type HeartbeatOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id, as in its channel and in the jobs that it holds. */
  name: string;
  onError(error: unknown): void;
};

/** Milliseconds between two beats; a reaper's patience is several of them. */
const beatMs = 250;
/** Milliseconds that the list outlives its last beat. */
const listTtlMs = 86_400_000;

const script = loadScript(new URL('lua/beat.lua', import.meta.url));

/**
 * Puts the worker on every shard's list and keeps it there. To be called once it listens on its channel
 * and before it takes jobs. Rejects when Redis refuses the first beat.
 *
 * The beats come from the main loop itself and not from a thread: what they are to prove is that this
 * loop turns, and the reaper's patience is longer than the longest block that an honest worker has
 * (garbage collections and parsing: tens of milliseconds, a second at the very worst).
 */
export async function startHeartbeat(options: HeartbeatOptions): Promise<Presence> {
  const { redis, keys, shards, name, onError } = options;
  const lists = Array.from({ length: shards }, (_, shard) => keys.beats(shard));
  let count = 0;
  let underWay: Promise<unknown> | undefined;

  const beat = () => {
    count += 1;
    return Promise.all(
      lists.map((list) => runScript(redis, script, [list], [name, count, listTtlMs])),
    );
  };

  await beat();
  const timer = setInterval(() => {
    // Beats that wait for a Redis that is away would all prove the same moment.
    underWay ??= beat()
      .catch(onError)
      .finally(() => {
        underWay = undefined;
      });
  }, beatMs);
  return {
    async leave() {
      clearInterval(timer);
      // One that is under way would put the name back.
      await underWay;
      await Promise.all(lists.map((list) => redis.hdel(list, name)));
    },
  };
}
