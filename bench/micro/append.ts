/**
 * Measures the cost of an append, by the number of streams in one call: CPU of Redis (its append-only file is
 * on) and of the caller for each item, and how much longer the last write of a stream takes than the others.
 *
 *   node bench/micro/append.ts [items] [redis-log.ts of another checkout, to compare in turn]
 */
import { randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { encodeEntry, logStart } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace } from '@millrace/shared/store/keys';
import type { AppendItem, StreamLog } from '@millrace/shared/store/stream-log/port';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { connectRedis } from '@millrace/shared/store/redis';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import { startRedis } from '../../test/kit/redis.ts';

type Way = { name: string; create: typeof createRedisLog };

const keys = keyspace();
const items = Number(process.argv[2] ?? 20_000);
const other = process.argv[3];
const rounds = 15;
const linesInStream = 20;

const ways: Way[] = [{ name: 'this', create: createRedisLog }];
if (other !== undefined) {
  const { createRedisLog: create } = (await import(resolve(other))) as {
    createRedisLog: typeof createRedisLog;
  };
  ways.unshift({ name: 'other', create });
}

const server = await startRedis();
const redis = connectRedis(server.url, { name: 'bench', role: 'command' });
await redis.ping();
const lives = { lifetimeMs: 3_600_000, retentionMs: 3_600_000 };
const submit = createRedisSubmit({ redis, keys, ...lives });

/** CPU of all threads of a process, in microseconds. */
async function cpuMicros(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const stats = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'));
  return (await Promise.all(stats)).reduce(
    (sum, line) => sum + Number(line.split(' ')[0]) / 1e3,
    0,
  );
}

const content = (n: number) =>
  `{"index":0,"delta":{"content":" word${n}"},"logprobs":null,"finish_reason":null}`;
const chunk = (n: number) =>
  `c{"id":"chatcmpl-123456789","object":"chat.completion.chunk","created":1700000000,"model":"a-model-of-some-name","choices":[${content(n)}]}`;
const done = encodeEntry({ kind: 'done', data: { finishReason: 'stop', attempts: 1, at: 1 } });

async function open(log: StreamLog): Promise<AppendItem> {
  const id = newRequestId(0, Date.now());
  const meta = { id, endpoint: '/v1/chat/completions', model: 'm', stream: true } as const;
  const rest = { reader: 'native', includeUsage: false, attached: false, createdAt: 0 } as const;
  await submit(newRequest({ ...meta, ...rest }, { inbox: 'ingress-1' }));
  const nonce = randomUUID();
  await log.seal(id, { activation: 1, nonce, worker: 'worker-1' });
  return { id, nonce, prev: logStart, entries: 1, last: { run: 1, seq: 1 }, lines: [chunk(1)] };
}

type Cost = { redis: number; caller: number };

/** Microseconds an item: of the plain ones, and of those that end their streams. */
async function measure(log: StreamLog, perCall: number): Promise<{ plain: Cost; end: Cost }> {
  const spent = { plain: { redis: 0, caller: 0 }, end: { redis: 0, caller: 0 } };
  const calls = Math.max(1, Math.round(items / linesInStream / perCall));
  const groups: AppendItem[][] = [];
  for (let call = 0; call < calls; call++)
    groups.push(await Promise.all(Array.from({ length: perCall }, () => open(log))));

  async function round(into: Cost): Promise<void> {
    const before = [await cpuMicros(server.pid), process.cpuUsage()] as const;
    for (const group of groups) {
      const outcomes = await log.append(0, group);
      if (outcomes.some((outcome) => outcome !== 'written')) throw new Error(outcomes.join());
    }
    const { user, system } = process.cpuUsage(before[1]);
    into.caller += user + system;
    into.redis += (await cpuMicros(server.pid)) - before[0];
  }

  const next = (terminal: boolean) => {
    for (const group of groups) {
      for (const item of group) {
        const { last } = item;
        item.prev = last;
        item.last = { run: 1, seq: last.seq + 1 };
        item.entries += 1;
        item.lines = [terminal ? done : chunk(last.seq)];
        if (terminal) item.terminal = 'done';
      }
    }
  };
  for (let line = 1; line < linesInStream; line++) {
    await round(spent.plain);
    next(line === linesInStream - 1);
  }
  await round(spent.end);
  const count = calls * perCall;
  const each = ({ redis, caller }: Cost, n: number) => ({ redis: redis / n, caller: caller / n });
  return { plain: each(spent.plain, count * (linesInStream - 1)), end: each(spent.end, count) };
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
const range = (values: readonly number[]) =>
  `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)}-${Math.max(...values).toFixed(2)})`;

try {
  const logs = ways.map(({ name, create }) => ({
    name,
    log: create({ redis, keys, ...lives }),
  }));
  for (const perCall of [1, 20, 85]) {
    const seen = new Map<string, { plain: Cost; end: Cost }[]>(ways.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const { name, log } of round % 2 === 0 ? logs : logs.toReversed()) {
        const cost = await measure(log, perCall);
        if (round > 0) seen.get(name)?.push(cost);
        await redis.flushall();
      }
    }
    for (const [name, costs] of seen) {
      const row = (of: (cost: { plain: Cost; end: Cost }) => number) => range(costs.map(of));
      process.stdout.write(
        `${String(perCall).padStart(3)} a call  ${name.padEnd(5)}  µs an item: redis ${row((c) => c.plain.redis)}  caller ${row((c) => c.plain.caller)}  at the end: redis ${row((c) => c.end.redis)}  caller ${row((c) => c.end.caller)}\n`,
      );
    }
  }
} finally {
  redis.disconnect();
  await server.close();
}
