import { jobEnd } from '@millrace/shared/domain/job-end';
import type { JobOutcome } from '@millrace/shared/domain/job-end';
import { queueName, shardOf } from '@millrace/shared/store/keys';
import type { AppendItem, AppendOutcome } from '@millrace/shared/store/stream-log/port';
import { keptEvents } from '@millrace/shared/store/queue/job-retention';
import { Queue, UnrecoverableError, Worker } from 'bullmq';
import type { Job } from 'bullmq';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openRedisLog } from '../contract/log-adapters.ts';
import { doneLine, readAll, startRun } from '../contract/log-steps.ts';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

/*
 * The last line of a log ends the job of the request in the same step, as BullMQ would have ended it:
 * lua/end-job.lua, written for the version that `bullmq-layout.test.ts` names.
 */

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

const token = 'token-1';
const stop: JobOutcome = { kind: 'completed', summary: 'stop' };
const refused: JobOutcome = { kind: 'failed', reason: 'no_target: none is left' };

type Held = Awaited<ReturnType<typeof open>>;

/** A queue with jobs of requests, whose first one this worker holds, and the run that it has begun. */
async function open({ others = 0 } = {}) {
  const one = openRedisLog(server);
  const { log, redis, keys } = one;
  const prefix = keys.tag(0);
  const options = { connection: redis, prefix };
  const queue = new Queue(queueName, { ...options, streams: { events: { maxLen: keptEvents } } });
  const worker = new Worker(queueName, null, { ...options, name: 'w', autorun: false });
  await queue.waitUntilReady();
  onTestFinished(async () => {
    await worker.close();
    await queue.close();
  });
  const id = await one.create();
  const ids = [id];
  while (ids.length <= others) ids.push(await one.create());
  const held = await worker.getNextJob(token, { block: false });
  if (held?.id !== id) throw new Error('its job did not come');
  const run = await startRun(log, id);
  const key = (name: string) => `${prefix}:${queueName}:${name}`;
  const lock = key(`${id}:lock`);

  async function append(outcome: JobOutcome, item = lastItem(outcome)): Promise<AppendOutcome> {
    const [result] = await log.append(shardOf(id), [item]);
    return result ?? 'gone';
  }

  const lastItem = (outcome: JobOutcome): AppendItem => ({
    ...run.item([doneLine], outcome.kind === 'completed' ? 'done' : 'failed'),
    job: jobEnd(token, outcome),
  });

  return { ...one, id, ids, job: held, queue, worker, run, key, lock, append, lastItem };
}

const byBullMq = (job: Job, outcome: JobOutcome) =>
  outcome.kind === 'completed'
    ? job.moveToCompleted(outcome.summary, token, false)
    : job.moveToFailed(new UnrecoverableError(outcome.reason), token, false);

/** All that the queue has in Redis, but for times and ids of events, and frames of stacks. */
async function bookOf({ redis, key, ids }: Held): Promise<Record<string, unknown>> {
  const book: Record<string, unknown> = {};
  const prefix = key('');
  for (const name of (await redis.keys('*')).filter((one) => one.startsWith(prefix)).toSorted()) {
    const type = await redis.type(name);
    const short = name.slice(prefix.length);
    if (type === 'hash') book[short] = plain(await redis.hgetall(name));
    else if (type === 'list') book[short] = await redis.lrange(name, 0, -1);
    else if (type === 'set') book[short] = await redis.smembers(name);
    else if (type === 'zset') book[short] = await redis.zrange(name, '0', '-1');
    else if (type === 'stream')
      book[short] = (await redis.xrange(name, '-', '+')).map(([, f]) => f);
    else book[short] = await redis.get(name);
  }
  const text = ids.reduce((all, id, i) => all.replaceAll(id, `ID${i}`), JSON.stringify(book));
  return JSON.parse(text) as Record<string, unknown>;
}

/** Times differ from one job to the next; a stack tells where its error was made. */
function plain(hash: Record<string, string>): Record<string, string> {
  const times = new Set(['timestamp', 'processedOn', 'finishedOn']);
  return Object.fromEntries(
    Object.entries(hash).map(([field, value]) => {
      if (times.has(field)) return [field, String(Number(value) > 1.7e12)];
      return [field, field === 'stacktrace' ? value.replace(/\\n {4}at [^"]*/g, '') : value];
    }),
  );
}

describe('a job that ends with the last line of its log', () => {
  test.each([
    ['completed', stop, 0],
    ['completed, while others wait', stop, 2],
    ['failed', refused, 0],
    ['failed, while others wait', refused, 2],
  ] as const)('is as one that BullMQ ended: %s', async (_what, outcome, others) => {
    const [ours, theirs] = [await open({ others }), await open({ others })];
    // As the stalled check does in between.
    for (const one of [ours, theirs]) await one.redis.sadd(one.key('stalled'), one.id);
    expect(await bookOf(ours)).toEqual(await bookOf(theirs));
    expect(await ours.append(outcome)).toBe('job_ended');
    await byBullMq(theirs.job, outcome);
    expect(await bookOf(ours)).toEqual(await bookOf(theirs));
    const { set } = jobEnd(token, outcome);
    expect(await ours.queue.getJobState(ours.id)).toBe(set);
    const [job] = await ours.queue.getJobs([set]);
    expect(job).toMatchObject(
      outcome.kind === 'completed'
        ? { returnvalue: 'stop', attemptsMade: 1, processedBy: 'w' }
        : { failedReason: refused.reason, attemptsMade: 1, processedBy: 'w' },
    );
    expect(Number(await ours.redis.zscore(ours.key(set), ours.id))).toBe(job?.finishedOn);
  });

  test('has ended also for a run that sends its last line again', async () => {
    const one = await open();
    const item = one.lastItem(stop);
    expect(await one.append(stop, item)).toBe('job_ended');
    const book = await bookOf(one);
    expect(await one.append(stop, item)).toBe('job_ended');
    expect(await bookOf(one)).toEqual(book);
    expect(await readAll(one.log, one.id)).toHaveLength(1);
  });

  test('ends beside plain lines of others, in whatever order they stand', async () => {
    const one = await open();
    const { log } = one;
    const others = await Promise.all([0, 1, 2].map(async () => startRun(log, await one.create())));
    const [first, ending, last] = others.map((run) => run.item(['c1']));
    if (!first || !ending || !last) throw new Error('three were opened');
    const end: AppendItem = { ...ending, terminal: 'done', job: jobEnd('none', stop) };
    const outcomes = await log.append(0, [end, first, one.lastItem(stop), last]);
    expect(outcomes).toEqual(['written', 'written', 'job_ended', 'written']);
    expect(await log.describe(ending.id)).toMatchObject({ ended: 'done' });
    expect(await log.describe(last.id)).toMatchObject({ ended: undefined });
  });

  test('keeps only so many finished jobs, and takes a few too many out at a time', async () => {
    const one = await open();
    const { redis, key } = one;
    const old = Array.from({ length: 5012 }, (_, i) => `old-${i}`);
    await redis.zadd(key('completed'), ...old.flatMap((id, i) => [String(i), id]));
    await redis.hset(key('old-0'), 'x', 1);
    await redis.rpush(key('old-0:logs'), 'x');
    expect(await one.append(stop)).toBe('job_ended');
    expect(await redis.zcard(key('completed'))).toBe(5003);
    expect(await redis.exists(key('old-0'), key('old-0:logs'))).toBe(0);
    expect(await redis.zscore(key('completed'), one.id)).not.toBeNull();
  });

  test('keeps the events of the queue short', async () => {
    const one = await open();
    const { redis, key } = one;
    const many = redis.pipeline();
    for (let i = 0; i < 2 * keptEvents; i++) many.xadd(key('events'), '*', 'event', 'x');
    await many.exec();
    await one.append(stop);
    expect(await redis.xlen(key('events'))).toBeLessThan(1.2 * keptEvents);
  });
});

describe('a job that is not the run’s any more', () => {
  test('is left to its next holder, who finds that the log has ended', async () => {
    const one = await open();
    await one.redis.set(one.lock, 'token-2');
    const book = await bookOf(one);
    expect(await one.append(stop)).toBe('written');
    expect(await bookOf(one)).toEqual(book);
    const claim = { activation: 2, nonce: 'b', worker: 'other' };
    expect(await one.log.seal(one.id, claim)).toEqual({ kind: 'ended', by: 'done' });
    await one.job.moveToCompleted('had ended already', 'token-2', false);
    // Whose last line is sent again now: nothing is left to be done by it either.
    expect(await one.append(stop)).toBe('job_ended');
  });

  test('whose lock ran out, or who waits again, is left as it is', async () => {
    const one = await open();
    await one.redis.del(one.lock);
    const book = await bookOf(one);
    expect(await one.append(stop)).toBe('written');
    expect(await bookOf(one)).toEqual(book);

    const other = await open();
    await other.job.moveToWait(token);
    await other.redis.set(other.lock, token);
    const waiting = await bookOf(other);
    expect(await other.append(stop)).toBe('written');
    expect(await bookOf(other)).toEqual(waiting);
  });

  test('is not ended by a line that the log refuses', async () => {
    const one = await open();
    await startRun(one.log, one.id, 2);
    const book = await bookOf(one);
    expect(await one.append(stop)).toBe('fenced');
    expect(await bookOf(one)).toEqual(book);
  });
});

describe('damage in the queue', () => {
  test('does not keep the last line from its log, nor the lines of others from theirs', async () => {
    const one = await open();
    const { log, redis, key } = one;
    const other = await startRun(log, await one.create());
    await redis.del(key('active'));
    await redis.set(key('active'), 'no list');
    const outcomes = await log.append(0, [one.lastItem(stop), other.item(['c1'])]);
    expect(outcomes).toEqual(['written', 'written']);
    expect(await log.describe(one.id)).toMatchObject({ ended: 'done' });
    await redis.del(key('active'));
  });

  test.each(['completed', 'events', 'stalled', 'wait', 'prioritized'])(
    'of `%s` leaves the job as it was, for its worker to end',
    async (name) => {
      const one = await open();
      const { redis, key, lock, id } = one;
      await redis.del(key(name));
      await redis.set(key(name), 'of another type');
      const book = await bookOf(one);
      expect(await one.append(stop)).toBe('written');
      expect(await bookOf(one)).toEqual(book);
      expect(await redis.get(lock)).toBe(token);
      await redis.del(key(name));
      await one.job.moveToCompleted('stop', token, false);
      expect(await redis.zscore(key('completed'), id)).not.toBeNull();
    },
  );

  test('of the job itself leaves it to those who remove it', async () => {
    const one = await open();
    await one.redis.set(one.key(one.id), 'no hash');
    expect(await one.append(stop)).toBe('written');
    expect(await one.redis.lrange(one.key('active'), 0, -1)).toEqual([one.id]);
    await one.redis.del(one.key(one.id), one.key('active'));
  });
});
