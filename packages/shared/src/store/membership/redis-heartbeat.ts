import type { Redis } from 'ioredis';
import type { BeatReply } from '../../domain/dispatch.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import type { Registration } from './port.ts';

export type HeartbeatOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id, as in its channel and in the jobs that it holds. */
  name: string;
  /** Called with the reply of each beat: the numbers of the jobs that were sent to this worker. */
  onBeat?(shard: number, known: BeatReply): void;
  onError(error: unknown): void;
};

/** Milliseconds between two beats; a reaper waits for several of them. */
const beatMs = 250;
/** Milliseconds that the registry outlives its last beat. */
const listTtlMs = 86_400_000;

const script = loadScript(new URL('lua/beat.lua', import.meta.url));

/**
 * Registers the worker in every shard and keeps it registered. Call it once the worker listens on its channel, and
 * before it takes jobs. Rejects if Redis refuses the first beat.
 *
 * The beats come from the main loop and not from a thread: they prove that this loop turns. The reaper waits longer than
 * the longest block of a healthy worker (garbage collections and parsing: tens of milliseconds, at worst a second).
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
    // During an outage of Redis one beat waits; more would prove nothing else.
    underWay ??= beat()
      .catch(onError)
      .finally(() => {
        underWay = undefined;
      });
  }, beatMs);
  return {
    async leave() {
      clearInterval(timer);
      // A beat under way would register the worker again.
      await underWay;
      await Promise.all(everyShard.map((shard) => redis.hdel(keys.beats(shard), name)));
    },
  };
}
