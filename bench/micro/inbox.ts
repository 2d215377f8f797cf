/**
 * Measures the live path to an ingress: none, sharded pub/sub, and a Redis stream that is read with a
 * blocking XREAD. One writer appends batches of chunks to logs and sends them to one reader process. CPU of
 * each process per chunk.
 *
 *   node bench/micro/inbox.ts [streams per call] [calls]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connectRedis } from '@millrace/shared/store/redis';
import type { Redis } from '@millrace/shared/store/redis';
import { startRedis } from '../../test/kit/redis.ts';

const modes = ['none', 'pub/sub', 'stream'] as const;
type Mode = (typeof modes)[number];

const channel = '{bench}:inbox';
const connect = (url: string): Redis => connectRedis(url, { name: 'bench', role: 'command' });

const append = `
local message = {}
for i = 1, #KEYS / 2 do
  redis.call('HMGET', KEYS[2 * i], 'nonce', 'end', 'subs')
  redis.call('XADD', KEYS[2 * i - 1], ARGV[2 * i], 'e', ARGV[2 * i + 1])
  message[#message + 1] = KEYS[2 * i - 1] .. ' ' .. ARGV[2 * i] .. '\\n' .. ARGV[2 * i + 1]
end
if ARGV[1] == 'pub/sub' then redis.call('SPUBLISH', '${channel}', table.concat(message, '\\n')) end
if ARGV[1] == 'stream' then
  redis.call('XADD', '${channel}:s', 'MAXLEN', '~', 1000, '*', 'm', table.concat(message, '\\n'))
end`;

if (process.argv[2] === 'reader') await read(process.argv[3] ?? '', process.argv[4] as Mode);
else await write(Number(process.argv[2] ?? 20), Number(process.argv[3] ?? 3000));

async function read(url: string, mode: Mode): Promise<void> {
  const redis = connect(url);
  let lines = 0;
  const take = (message: string) => (lines += message.split('\n').length / 2);
  process.on('message', () => {
    process.send?.({ lines, cpu: process.cpuUsage() });
    process.disconnect();
    redis.disconnect();
  });
  if (mode === 'pub/sub') {
    redis.on('smessage', (_channel: string, message: string) => take(message));
    await redis.ssubscribe(channel);
    process.send?.('ready');
    return;
  }
  process.send?.('ready');
  for (let after = '0-0'; redis.status !== 'end';) {
    const reply = await redis
      .xread('COUNT', 100, 'BLOCK', 0, 'STREAMS', `${channel}:s`, after)
      .catch(() => null);
    for (const [id, fields] of reply?.[0]?.[1] ?? []) {
      after = id;
      take(fields[1] ?? '');
    }
  }
}

async function write(perCall: number, calls: number): Promise<void> {
  const server = await startRedis();
  const redis = connect(server.url);
  await redis.ping();
  try {
    for (let round = 1; round <= 3; round++) {
      for (const mode of modes) {
        await redis.flushall();
        await measure({
          redis,
          url: server.url,
          mode,
          perCall,
          calls,
          pid: server.pid,
        });
      }
    }
  } finally {
    redis.disconnect();
    await server.close();
  }
}

type Measure = {
  redis: Redis;
  url: string;
  mode: Mode;
  perCall: number;
  calls: number;
  pid: number;
};

async function measure({ redis, url, mode, perCall, calls, pid }: Measure): Promise<void> {
  const reader = fork(import.meta.filename, ['reader', url, mode]);
  await once(reader, 'message');
  const chunk = `c${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'a-model-of-some-name', choices: [{ index: 0, delta: { content: ' hello' }, logprobs: null, finish_reason: null }] })}`;
  const redisBefore = await cpuMicros(pid);
  const writerBefore = process.cpuUsage();
  let seq = 0;
  for (let call = 0; call < calls; call++) {
    const keys: string[] = [];
    const values: string[] = [mode];
    for (let i = 0; i < perCall; i++) {
      const stream = (call * perCall + i) % 1000;
      keys.push(`{bench}:log:${stream}`, `{bench}:req:${stream}`);
      values.push(`1-${++seq}`, chunk);
    }
    await redis.eval(append, keys.length, ...keys, ...values);
  }
  const writer = process.cpuUsage(writerBefore);
  const redisAfter = await cpuMicros(pid);
  reader.send('stop');
  const [told] = (await once(reader, 'message')) as [{ lines: number; cpu: NodeJS.CpuUsage }];
  const chunks = perCall * calls;
  const per = (micros: number) => `${(micros / chunks).toFixed(1)} µs`;
  const columns = [
    mode.padEnd(8),
    `redis ${per(redisAfter - redisBefore)}`,
    `writer ${per(writer.user + writer.system)}`,
    `reader ${mode === 'none' ? '-' : per(told.cpu.user + told.cpu.system)}`,
    `chunks read ${told.lines} of ${mode === 'none' ? 0 : chunks}`,
  ];
  process.stdout.write(`${columns.join('  ')}\n`);
}

/** CPU of a process, in microseconds; Linux counts in hundredths of a second. */
async function cpuMicros(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
