/**
 * Measures reading a long log from its start, as a resuming reader does: pages of a number of packs (XRANGE,
 * the former way), and pages of a number of bytes (store/stream-log/lua/read.lua, the present way). Total
 * time, CPU of Redis and of the reader, and the longest time that one read blocked Redis.
 *
 *   node bench/micro/log-read.ts [chunks]
 */
import { readFile } from 'node:fs/promises';
import { logStart, parseEntryId, unpack } from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace } from '@millrace/shared/store/keys';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { connectRedis } from '@millrace/shared/store/redis';
import type { Redis } from '@millrace/shared/store/redis';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newRequest } from '@millrace/shared/store/submit/request.fixture';
import { startRedis } from '../../test/kit/redis.ts';

type Page = { lines: readonly Line[]; more: boolean };
type Way = { name: string; page(id: string, after: EntryId): Promise<Page | undefined> };

const keys = keyspace();
const chunks = Number(process.argv[2] ?? 100_000);
const rounds = 5;

const server = await startRedis(['--appendonly', 'no']);
const redis = connectRedis(server.url, { name: 'bench', role: 'command' });
await redis.ping();
try {
  const lives = { lifetimeMs: 3_600_000, retentionMs: 3_600_000 };
  const log = createRedisLog({ redis, keys, ...lives });
  const submit = createRedisSubmit({ redis, keys, ...lives });
  const ways: Way[] = [
    ...[32, 256].map((packs) => ({ name: `${packs} packs`, page: inPacks(redis, packs) })),
    ...[64, 128, 256].map((kib) => ({ name: `${kib} KiB`, page: inBytes(log, kib * 1024) })),
  ];
  for (const perPack of [1, 4, 2000]) {
    const id = await writeLog(log, submit, perPack);
    for (const way of ways) await measure(way, id, perPack);
  }
} finally {
  redis.disconnect();
  await server.close();
}

function inPacks(connection: Redis, maxPacks: number): Way['page'] {
  return async (id, after) => {
    const start = after === logStart ? '-' : `(${after.run}-${after.seq}`;
    const packs = await connection.xrange(keys.log(id), start, '+', 'COUNT', maxPacks);
    const lines: Line[] = [];
    for (const [place, [kind, text = '']] of packs) {
      const last = parseEntryId(place);
      if (kind === 'e' && last) lines.push(...unpack(last, text.split('\n'), after));
    }
    return { lines, more: packs.length === maxPacks };
  };
}

function inBytes(log: StreamLog, maxBytes: number): Way['page'] {
  return (id, after) => log.read(id, after, maxBytes);
}

async function writeLog(log: StreamLog, submit: Submit, perPack: number): Promise<string> {
  const id = newRequestId(0, Date.now());
  const meta = { id, endpoint: '/v1/chat/completions', model: 'm', stream: true } as const;
  const rest = { reader: 'native', includeUsage: false, attached: false, createdAt: 0 } as const;
  await submit(newRequest({ ...meta, ...rest }));
  await log.seal(id, { activation: 1, nonce: 'n', worker: 'w' });
  const chunk = `c${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'a-model-of-some-name', choices: [{ index: 0, delta: { content: ' hello' }, logprobs: null, finish_reason: null }] })}`;
  const lines = Array.from({ length: perPack }, () => chunk);
  for (let seq = 0; seq < chunks; seq += perPack) {
    const entries = 1 + seq / perPack;
    const written = { prev: { run: 1, seq }, entries, last: { run: 1, seq: seq + perPack } };
    await log.append(0, [{ id, nonce: 'n', ...written, lines }]);
  }
  return id;
}

async function measure({ name, page }: Way, id: string, perPack: number): Promise<void> {
  const times: number[] = [];
  const redisBefore = await cpuMicros(server.pid);
  const readerBefore = process.cpuUsage();
  let reads = 0;
  let longest = 0;
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now();
    let lines = 0;
    for (let after: EntryId = logStart, more = true; more; reads++) {
      const sentAt = performance.now();
      const read = await page(id, after);
      longest = Math.max(longest, performance.now() - sentAt);
      lines += read?.lines.length ?? 0;
      after = read?.lines.at(-1) ?? after;
      more = read?.more ?? false;
    }
    if (lines !== chunks) throw new Error(`${name}: ${lines} lines of ${chunks}`);
    times.push(performance.now() - startedAt);
  }
  const reader = process.cpuUsage(readerBefore);
  const redisMicros = (await cpuMicros(server.pid)) - redisBefore;
  const ms = (micros: number) => `${(micros / 1000 / rounds).toFixed(0)} ms`;
  const columns = [
    `${perPack} per pack`,
    name.padEnd(9),
    `${times.toSorted((a, b) => a - b)[rounds >> 1]?.toFixed(0)} ms`,
    `redis ${ms(redisMicros)}`,
    `reader ${ms(reader.user + reader.system)}`,
    `reads ${reads / rounds}`,
    `longest ${longest.toFixed(1)} ms`,
  ];
  process.stdout.write(`${columns.join('  ')}\n`);
}

/** CPU of a process, in microseconds; Linux counts in hundredths of a second. */
async function cpuMicros(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
