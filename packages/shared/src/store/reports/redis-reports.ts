import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { byName, decodeReport, encodeReport, reportTtlMs } from './encode.ts';
import { reportQuestion } from './port.ts';
import type { Reports, WorkerReport } from './port.ts';

export type RedisReportsOptions = {
  redis: Redis;
  keys: Keyspace;
  /** @defaultValue reportTtlMs */
  ttlMs?: number;
};

/** Reports that are read and parsed in one go: others on this event loop want their turn, too. */
const readAtOnce = 10;

/** Milliseconds that workers may take for an answer; of one that takes longer the last report is read. */
const patienceMs = 300;
/** Milliseconds before it is first looked whether all have answered; doubled with every look. */
const firstLookMs = 4;
/** Milliseconds for which answers are not asked for again: many may read them at once. */
const freshMs = 250;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { publish: load('publish'), ask: load('ask') };

/** A key for each worker, all of them in the slot of shard 0, where the list of names is. */
export function createRedisReports(options: RedisReportsOptions): Reports {
  const { redis, keys, ttlMs = reportTtlMs } = options;
  let askedAt = -Infinity;
  let asking: Promise<void> | undefined;

  /** Ends when every worker that heard the last question has answered it, or its time is over. */
  function ask(): Promise<void> {
    const at = performance.now();
    if (asking && at - askedAt < freshMs) return asking;
    askedAt = at;
    asking = askNow(at + patienceMs);
    return asking;
  }

  async function askNow(until: number): Promise<void> {
    const question = randomUUID();
    const args = [keys.worker(0, ''), reportQuestion + question];
    const heard = Number(await runScript(redis, scripts.ask, [keys.beats(0)], args));
    let answers = 0;
    for (let waitMs = firstLookMs; answers < heard && performance.now() < until; waitMs *= 2) {
      await sleep(Math.max(0, Math.min(waitMs, until - performance.now())));
      answers = Number(await redis.get(keys.answers(question)));
    }
  }

  return {
    async publish(worker, report, questions = []) {
      const { text, outcome } = encodeReport(report);
      const touched = [keys.report(worker), ...questions.map(keys.answers)];
      await runScript(redis, scripts.publish, touched, [text, ttlMs, 2 * patienceMs]);
      return outcome;
    },

    async remove(worker) {
      await redis.del(keys.report(worker));
    },

    async readAll() {
      await ask();
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
