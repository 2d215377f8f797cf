import type { Redis } from 'ioredis';
import type { BeatReply } from '../../domain/dispatch.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../stream-log/redis-scripts.ts';
import type { Registration } from './port.ts';

export type HeartbeatOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id, as in its channel and in the jobs that it holds. */
  name: string;
  /** What Redis knows of the jobs that it has sent to this worker. */
  onBeat?(shard: number, known: BeatReply): void;
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
export async function startHeartbeat(options: HeartbeatOptions): Promise<Registration> {
  const { redis, keys, shards, name, onBeat, onError } = options;
  const everyShard = Array.from({ length: shards }, (_, shard) => shard);
  let underWay: Promise<unknown> | undefined;

  async function beatIn(shard: number): Promise<void> {
    const touched = [keys.beats(shard), keys.dispatches(shard)];
    const sentAt = Date.now();
    const reply = await runScript(redis, script, touched, [name, listTtlMs]);
    const [at, sent, last] = reply as [string, ...(string | null)[]];
    const number = (text: string | null | undefined) => (text ? Number(text) : undefined);
    onBeat?.(shard, { sent: number(sent), last: number(last), redisAt: Number(at), sentAt });
  }

  const beat = () => Promise.all(everyShard.map(beatIn));

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
      await Promise.all(everyShard.map((shard) => redis.hdel(keys.beats(shard), name)));
    },
  };
}
