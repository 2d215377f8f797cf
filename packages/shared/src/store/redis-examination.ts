import { readInfo, withRedis } from './redis.ts';
import type { Redis } from './redis.ts';

/** What a Redis says about itself, without a verdict. A field is undefined if this Redis user must not read it. */
export type RedisExamination = {
  server: 'redis' | 'valkey';
  version: string | undefined;
  role: string | undefined;
  maxmemoryPolicy: string | undefined;
  /** 0: no limit. */
  maxmemoryBytes: number | undefined;
  usedBytes: number | undefined;
  appendOnly: { isOn: boolean; lastWrite: string | undefined } | undefined;
  /** Whether it also saves snapshots, and how the last one went. */
  snapshots: { lastSave: string | undefined } | undefined;
  /** Round trips of a PING. */
  latencyMs: { median: number; worst: number };
  /** How far the clock of this machine is ahead of Redis' clock, give or take `uncertainMs`. */
  clock: { aheadMs: number; uncertainMs: number };
};

const pings = 20;
const clockReadings = 5;

/** Rejects with RedisUnreachable if no Redis answers in time. */
export const examineRedis = (
  url: string,
  options: { timeoutMs: number },
): Promise<RedisExamination> => withRedis(url, options, examine);

async function examine(redis: Redis): Promise<RedisExamination> {
  const server = await readInfo(redis, 'server');
  const memory = await readInfo(redis, 'memory');
  const persistence = await readInfo(redis, 'persistence');
  const replication = await readInfo(redis, 'replication');
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  const appendOnly = persistence.get('aof_enabled');
  return {
    server: server.has('valkey_version') ? 'valkey' : 'redis',
    version: server.get('valkey_version') ?? server.get('redis_version'),
    role: replication.get('role'),
    maxmemoryPolicy: memory.get('maxmemory_policy'),
    maxmemoryBytes: number(memory.get('maxmemory')),
    usedBytes: number(memory.get('used_memory')),
    appendOnly:
      appendOnly === undefined
        ? undefined
        : { isOn: appendOnly === '1', lastWrite: persistence.get('aof_last_write_status') },
    snapshots:
      persistence.size === 0 ? undefined : { lastSave: persistence.get('rdb_last_bgsave_status') },
    latencyMs: await measureLatency(redis),
    clock: await readClock(redis),
  };
}

async function measureLatency(redis: Redis): Promise<RedisExamination['latencyMs']> {
  const times: number[] = [];
  for (let i = 0; i < pings; i += 1) {
    const at = performance.now();
    await redis.ping();
    times.push(performance.now() - at);
  }
  times.sort((a, b) => a - b);
  return { median: times[pings / 2] ?? 0, worst: times.at(-1) ?? 0 };
}

/** Of several readings the one with the shortest round trip: Redis read its clock somewhere within it. */
async function readClock(redis: Redis): Promise<RedisExamination['clock']> {
  let best = { aheadMs: 0, uncertainMs: Infinity };
  for (let i = 0; i < clockReadings; i += 1) {
    const [sentAt, at] = [Date.now(), performance.now()];
    const [seconds, microseconds] = await redis.time();
    const roundTripMs = performance.now() - at;
    const theirs = Number(seconds) * 1000 + Number(microseconds) / 1000;
    const uncertainMs = roundTripMs / 2;
    if (uncertainMs < best.uncertainMs) {
      best = { aheadMs: sentAt + uncertainMs - theirs, uncertainMs };
    }
  }
  return best;
}
