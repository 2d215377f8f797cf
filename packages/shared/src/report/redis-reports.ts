import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../log/redis-scripts.ts';
import { byName, decodeReport, encodeReport, reportTtlMs } from './encode.ts';
import type { Reports, WorkerReport } from './port.ts';

export type RedisReportsOptions = {
  redis: Redis;
  keys: Keyspace;
  /** @defaultValue reportTtlMs */
  ttlMs?: number;
};

/** Reports that are read and parsed in one go: others on this event loop want their turn, too. */
const readAtOnce = 10;

const script = loadScript(new URL('lua/publish.lua', import.meta.url));

/** A key for each worker, all of them in the slot of shard 0, where the list of names is. */
export function createRedisReports(options: RedisReportsOptions): Reports {
  const { redis, keys, ttlMs = reportTtlMs } = options;

  return {
    async publish(worker, report) {
      const { text, outcome } = encodeReport(report);
      await runScript(redis, script, [keys.report(worker)], [text, ttlMs]);
      return outcome;
    },

    async remove(worker) {
      await redis.del(keys.report(worker));
    },

    async readAll() {
      const names = await redis.hkeys(keys.beats(0));
      const found: WorkerReport[] = [];
      for (let i = 0; i < names.length; i += readAtOnce) {
        const some = names.slice(i, i + readAtOnce);
        const texts = await redis.mget(some.map((name) => keys.report(name)));
        for (const [place, name] of some.entries()) {
          const report = decodeReport(name, texts[place] ?? '');
          if (report) found.push(report);
        }
      }
      return found.sort(byName);
    },
  };
}
