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

/** Reports that are read and parsed in one turn of the event loop, so that other work is not delayed. */
const readAtOnce = 10;

/** Milliseconds in which workers should answer; of a slower one the previous report is read. */
const patienceMs = 300;
/** Milliseconds until the first check whether all have answered; doubled with every check. */
const firstLookMs = 4;
/** Milliseconds for which callers share the last question's answers. */
const freshMs = 250;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { publish: load('publish'), ask: load('ask') };

/** One key for each worker, all in the slot of shard 0, which also has the list of workers. */
export function createRedisReports(options: RedisReportsOptions): Reports {
  const { redis, keys, ttlMs = reportTtlMs } = options;
  let askedAt = -Infinity;
  let asking: Promise<void> | undefined;

  /** Resolves when every worker that received the last question has answered it, or its time is over. */
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

  async function readLast(): Promise<WorkerReport[]> {
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
      return readLast();
    },

    readLast,
  };
}
