import { examineRedis } from '@millrace/shared/store/redis-examination';
import type { RedisExamination } from '@millrace/shared/store/redis-examination';
import { redactUrl } from '@millrace/shared/config/redis-url';
import { bytes, duration, milliseconds } from '../output/format.ts';
import { ok, problem, warning } from './check.ts';
import type { Check } from './check.ts';

export type RedisLimits = {
  timeoutMs: number;
  /** Percent of maxmemory above which ingresses refuse requests (`limits.queueMemory`). */
  queueMemory: number;
};

/** `url`: undefined if none is configured. */
export async function checkRedis(url: string | undefined, limits: RedisLimits): Promise<Check[]> {
  if (url === undefined) {
    return [
      ok('redis', 'none is configured: npm start brings its own (a fleet needs --redis URL)'),
    ];
  }
  try {
    const examination = await examineRedis(url, limits);
    return judgeRedis(examination, { at: redactUrl(url), queueMemory: limits.queueMemory });
  } catch (error) {
    const advice =
      'Start it, or correct --redis, REDIS_URL or redis.url; nothing is served without it.';
    // Its message has the URL without the password.
    return [problem('redis', (error as Error).message, advice)];
  }
}

/** Milliseconds. */
const latencyLimits = { median: 5, worst: 100, far: 50 };
const clockLimits = { warning: 1000, problem: 30_000 };
/** Percentage points below `queueMemory`. */
const memoryMargin = 15;

export function judgeRedis(
  examination: RedisExamination,
  { at, queueMemory }: { at: string; queueMemory: number },
): Check[] {
  return [
    judgeVersion(examination, at),
    judgePolicy(examination),
    judgeMemory(examination, queueMemory),
    judgePersistence(examination),
    judgeLatency(examination),
    judgeClock(examination),
  ];
}

function judgeVersion({ server, version, role }: RedisExamination, at: string): Check {
  const name = 'redis';
  const product = server === 'valkey' ? 'Valkey' : 'Redis';
  if (role === 'slave' || role === 'replica') {
    return problem(name, `${at} is a replica, which takes no writes`, 'Name the primary.');
  }
  if (version === undefined) {
    const advice = 'It has to be 7.0 or newer; let this user call INFO.';
    return warning(name, `${at} answers; its version could not be read`, advice);
  }
  const found = `${product} ${version} at ${at}`;
  if (Number.parseInt(version, 10) >= 7) return ok(name, found);
  return problem(
    name,
    found,
    'Use Redis or Valkey 7.0 or newer: older ones have no sharded channels.',
  );
}

function judgePolicy({ maxmemoryPolicy }: RedisExamination): Check {
  const name = 'redis policy';
  if (maxmemoryPolicy === undefined) {
    const advice = 'It has to be noeviction; let this user call INFO.';
    return warning(name, 'maxmemory-policy could not be read', advice);
  }
  const found = `maxmemory-policy ${maxmemoryPolicy}`;
  if (maxmemoryPolicy === 'noeviction') return ok(name, found);
  const advice =
    'Set maxmemory-policy noeviction: any other one drops requests under memory pressure, and no process starts with it.';
  return problem(name, found, advice);
}

function judgeMemory({ maxmemoryBytes, usedBytes }: RedisExamination, queueMemory: number): Check {
  const name = 'redis memory';
  if (maxmemoryBytes === undefined || usedBytes === undefined) {
    return warning(name, 'its memory could not be read', 'Let this user call INFO.');
  }
  const used = bytes(usedBytes);
  if (maxmemoryBytes === 0) {
    const advice = 'Set maxmemory, so that ingresses refuse requests before the system ends Redis.';
    return warning(name, `${used} used, no maxmemory`, advice);
  }
  const percent = Math.round((usedBytes / maxmemoryBytes) * 100);
  const found = `${used} of ${bytes(maxmemoryBytes)} used (${percent} %)`;
  if (percent < queueMemory - memoryMargin) return ok(name, found);
  const advice = 'Raise maxmemory, or shorten retention (docs/operating.md, "How much memory").';
  if (percent < queueMemory) return warning(name, found, advice);
  return problem(name, `${found}: ingresses refuse new requests from ${queueMemory} % on`, advice);
}

function judgePersistence({ appendOnly, snapshots }: RedisExamination): Check {
  const name = 'redis persistence';
  if (!appendOnly) {
    const advice = 'Set appendonly yes; let this user call INFO.';
    return warning(name, 'it could not be read', advice);
  }
  const saveFailed = snapshots?.lastSave !== undefined && snapshots.lastSave !== 'ok';
  if (appendOnly.isOn && appendOnly.lastWrite !== undefined && appendOnly.lastWrite !== 'ok') {
    const advice =
      'See the log of Redis and the free disk space: Redis refuses writes until this works.';
    return problem(name, 'the last write to the append-only file failed', advice);
  }
  if (saveFailed) {
    const advice = 'See the log of Redis and the free disk space: Redis may refuse writes.';
    return problem(name, 'the last snapshot failed', advice);
  }
  if (appendOnly.isOn) return ok(name, 'append-only file');
  const advice =
    'Set appendonly yes: without it a restart of Redis loses requests that wait or run.';
  return warning(name, 'no append-only file', advice);
}

function judgeLatency({ latencyMs: { median, worst } }: RedisExamination): Check {
  const name = 'redis latency';
  const found = `${milliseconds(median)} a round trip, ${milliseconds(worst)} at worst`;
  const advice =
    'Put Redis near its processes, and look for slow commands (SLOWLOG): every token passes through it.';
  if (median >= latencyLimits.far) return problem(name, found, advice);
  if (median >= latencyLimits.median || worst >= latencyLimits.worst) {
    return warning(name, found, advice);
  }
  return ok(name, found);
}

function judgeClock({ clock: { aheadMs, uncertainMs } }: RedisExamination): Check {
  const name = 'clock';
  const certainMs = Math.max(0, Math.abs(aheadMs) - uncertainMs);
  if (certainMs < clockLimits.warning) return ok(name, "this machine's agrees with Redis' clock");
  const found = `this machine's is ${duration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} Redis' clock`;
  const advice = 'Run NTP on all machines: deadlines, quotas and the ledger use their clocks.';
  return certainMs < clockLimits.problem
    ? warning(name, found, advice)
    : problem(name, found, advice);
}
