import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { runScript } from '../script.ts';
import { scripts } from './scripts.ts';

/**
 * The most bytes that one script packs, and so of the largest log: about 3 ms of Redis, the same as to unpack
 * it.
 */
const largestLog = 2 * 1024 * 1024;
/** Milliseconds for which an unpacked log stays for its readers. For a slower reader it is unpacked again. */
const unpackedMs = 60_000;
/**
 * Milliseconds without an ingress that cannot read packed logs until logs are packed again: one whose
 * connection was lost is back by then.
 */
const quietMs = 60_000;

export type RedisPacking = {
  /** How many of the logs it packed. */
  pack(shard: number, ids: readonly string[]): Promise<number>;
  /** Makes the log readable again; false if there is no packed log. */
  unpack(id: string): Promise<boolean>;
};

/** See lua/pack.lua. */
export function createRedisPacking({
  redis,
  keys,
  now = () => performance.now(),
}: {
  redis: Redis;
  keys: Keyspace;
  now?: () => number;
}): RedisPacking {
  let isPossible: Promise<boolean> | undefined;
  let refusedAt = -Infinity;

  const askWhether = async (shard: number) => {
    const answer = await runScript(redis, scripts.tryPacking, [keys.packingTrial(shard)], []);
    return answer === 1;
  };

  /** Returns how many it packed, and how many of the first ids need no further call. */
  async function packSome(
    shard: number,
    ids: readonly string[],
  ): Promise<[packed: number, seen: number]> {
    // The script checks the listening ingresses even while it packs nothing: an old ingress can come and go.
    const isQuiet = now() - refusedAt >= quietMs;
    const touched = isQuiet ? ids.flatMap((id) => [keys.request(id), keys.log(id)]) : [];
    const args = [keys.tag(shard), largestLog];
    const reply = await runScript(redis, scripts.pack, touched, args);
    const [packed, seen] = reply as [number, number];
    if (packed < 0) refusedAt = now();
    return packed < 0 || !isQuiet ? [0, ids.length] : [packed, seen];
  }

  return {
    async pack(shard, ids) {
      isPossible ??= askWhether(shard).catch((error: unknown) => {
        isPossible = undefined;
        throw error;
      });
      if (!(await isPossible)) return 0;
      let packed = 0;
      for (let at = 0; at < ids.length;) {
        const [more, seen] = await packSome(shard, ids.slice(at));
        packed += more;
        at += seen;
      }
      return packed;
    },

    async unpack(id) {
      const touched = [keys.request(id), keys.log(id)];
      return (await runScript(redis, scripts.unpack, touched, [unpackedMs])) === 1;
    },
  };
}
