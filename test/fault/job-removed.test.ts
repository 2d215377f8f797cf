import { keyspace, queueName } from '@millrace/shared/store/keys';
import { Worker } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, cancelJob, createJob, eventsOf, follow, getJob } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { chunks, readPlain, readStory } from '../kit/judge.ts';
import {
  asked,
  expectAlive,
  expectEmpty,
  isAlive,
  observeQueue,
  upstream,
} from '../kit/observe.ts';

// One fleet for all of them: the first ingress lets Bull Board remove jobs, the second one has the default.
let fleet: Fleet;
const hands: Worker[] = [];
beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    workers: 0,
    models: {
      long: 'healthy:tokens=2000,pace=10',
      middle: 'healthy:tokens=100,pace=100',
      short: 'healthy:tokens=10',
      broken: 'status:code=500',
    },
    config: { board: 'remove' },
  });
  await fleet.addIngress();
});
beforeEach(() => fleet.primary.reset());
afterEach(async () => {
  await Promise.all(hands.splice(0).map((worker) => worker.close(true)));
});
afterAll(() => fleet?.close());

/** For a test of what waits: the workers leave, and offer no places any more. */
async function withoutWorkers(): Promise<void> {
  await Promise.all(fleet.workers.splice(0).map((worker) => worker.stop('SIGTERM')));
}

async function withWorker(): Promise<void> {
  if (!fleet.workers.some(isAlive)) await fleet.addWorker();
}

/** Replaces the control plane by one with these sections of the config. */
async function replaceAdmin(sections: Record<string, unknown>): Promise<void> {
  await fleet.reconfigure(sections);
  await Promise.all(fleet.admins.splice(0).map((admin) => admin.stop('SIGTERM')));
  await fleet.addAdmin();
}

/** What a button of Bull Board does; throws on anything but a success. */
async function press(path: string, queue = queueName): Promise<void> {
  const url = `${fleet.url}/admin/queues/api/queues/${encodeURIComponent(queue)}/${path}`;
  const response = await fetch(url, { method: 'PUT' });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
}

const token = 'by hand';

/** Takes the next job as a worker would, and leaves it active. */
async function takeJob() {
  const connection = fleet.redis.connect();
  const worker = new Worker(queueName, null, { connection, prefix: keyspace().tag(0) });
  hands.push(worker);
  return worker.getNextJob(token);
}

/** Milliseconds: far below the time limits of requests, also on a slow machine. */
const soonMs = 20_000;

/** Readers get the end in time, and it says what happened. */
async function expectFailed(readers: Stream[], since: number, code: string): Promise<void> {
  await Promise.all(readers.map(({ ended }) => ended));
  expect(Date.now() - since).toBeLessThan(soonMs);
  for (const { events } of readers) {
    const story = readStory(events);
    expect(story).toMatchObject({ end: 'failed', data: { status: 'failed', error: { code } } });
    expect(story.data.error?.message).toMatch(/\w+ .*queue/);
  }
}

test('plain readers whose jobs are removed get one error, streamed or not', async () => {
  await withoutWorkers();
  const stream = ask(fleet.url, 'short');
  const whole = askWhole(fleet.url, 'short');
  const queue = observeQueue(fleet);
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 2 });

  const since = Date.now();
  await press('empty');

  const answer = await readPlain(stream);
  expect(answer.error?.code).toBe('job_removed');
  expect(answer.head.status).toBe(500);
  await whole.ended;
  expect((await whole.head).status).toBe(500);
  expect(JSON.parse(whole.text)).toMatchObject({ error: { code: 'job_removed' } });
  expect(Date.now() - since).toBeLessThan(soonMs);
});

test('a job that nobody reads is found to be removed by whoever asks for it', async () => {
  await withoutWorkers();
  const id = await createJob(fleet.url, 'short');
  await press(`${id}/clean`);
  await expect
    .poll(() => getJob(fleet.url, id))
    .toMatchObject({ status: 'failed', error: { code: 'job_removed' } });
});

test('a job that BullMQ fails without its worker ends its readers with a clear error', async () => {
  await withoutWorkers();
  const id = await createJob(fleet.url, 'short');
  const reader = follow(fleet.url, id);
  await reader.until(({ events }) => events.length > 0);

  const job = await takeJob();
  const since = Date.now();
  await job?.moveToFailed(new Error('failed by hand'), token, false);

  await expectFailed([reader], since, 'job_failed');
});

test('a job whose workers died too often ends its readers with a clear error', async () => {
  await withoutWorkers();
  const id = await createJob(fleet.url, 'long', { user: 'deadly' });
  const reader = follow(fleet.url, id);
  await reader.until(({ events }) => events.length > 0);
  await takeJob();
  // As BullMQ leaves it when its stalled check has found the job nine times, and then its lock expired.
  const redis = fleet.redis.connect();
  const prefix = `${keyspace().tag(0)}:${queueName}`;
  await redis.hset(`${prefix}:${id}`, 'stc', '9');
  await redis.sadd(`${prefix}:stalled`, id);
  await redis.del(`${prefix}:${id}:lock`, `${prefix}:stalled-check`);

  // A worker looks for such jobs when it has started, which takes what it takes.
  await fleet.addWorker();
  const since = Date.now();

  await expectFailed([reader], since, 'job_failed');
  expect(await observeQueue(fleet).state(id)).toBe('failed');
  expect(asked(fleet.primary, 'deadly')).toBe(0);
});

test('a job that is retried with BullMQ’s own tools after its end stays as it is, also in the queue', async () => {
  await withWorker();
  const queue = observeQueue(fleet);
  const was = await queue.counts();
  const ids = {
    done: await createJob(fleet.url, 'short', { user: 'done' }),
    failed: await createJob(fleet.url, 'broken', { user: 'failed' }),
    cancelled: await createJob(fleet.url, 'long', { user: 'cancelled' }),
  };
  await upstream(fleet.primary, 'cancelled');
  await cancelJob(fleet.url, ids.cancelled);
  const read = () => Promise.all(Object.values(ids).map((id) => eventsOf(fleet.url, id)));
  const before = await read();
  expect(before.map((events) => readStory(events).end)).toEqual(Object.keys(ids));
  const requests = fleet.primary.requests.length;
  await expectEmpty(queue);
  await expect.poll(() => queue.state(ids.failed)).toBe('failed');

  // Bull Board has no such button, for one or for all, and serves none to who asks by hand.
  await expect(press(`${ids.failed}/retry`)).rejects.toThrow(/405/);
  await expect(press('retry/failed')).rejects.toThrow(/405/);
  for (const id of Object.values(ids)) {
    const job = await queue.board[0]?.getJob(id);
    await job?.retry(id === ids.failed ? 'failed' : 'completed');
  }

  await expectEmpty(queue);
  await expect
    .poll(() => queue.counts())
    .toMatchObject({ completed: was.completed + 2, failed: was.failed + 1 });
  expect(await queue.state(ids.failed)).toBe('failed');
  expect(await read()).toEqual(before);
  expect(fleet.primary.requests).toHaveLength(requests);
  expect(await getJob(fleet.url, ids.failed)).toMatchObject({ status: 'failed' });
});

test('a running job cannot be removed, and an emptied queue leaves it alone', async () => {
  await withWorker();
  // The control plane loads the board when it is asked for the first time, which may take as long as the answer.
  await press('empty');
  const id = await createJob(fleet.url, 'middle');
  const reader = follow(fleet.url, id);
  await reader.until(chunks(3));
  await expect(press(`${id}/clean`)).rejects.toThrow(/409/);
  await press('empty');
  fleet.hurry();
  await reader.ended;
  const story = readStory(reader.events);
  expect(story).toMatchObject({ end: 'done', text: expectedText({ tokens: 100 }) });
});

test('a finished job that is removed in Bull Board can still be read', async () => {
  await withWorker();
  const id = await createJob(fleet.url, 'short');
  const before = await eventsOf(fleet.url, id);
  const queue = observeQueue(fleet);
  await expect.poll(() => queue.state(id)).toBe('completed');
  await press(`${id}/clean`);
  expect(await queue.state(id)).toBe('unknown');
  expect(await eventsOf(fleet.url, id)).toEqual(before);
  expect((await getJob(fleet.url, id)).status).toBe('completed');
});

test('a job of somebody else in the queue fails there and harms nobody', async () => {
  await withWorker();
  const queue = observeQueue(fleet);
  const [board] = queue.board;
  const job = await board?.add('foreign', { nonsense: true });
  await expect.poll(() => board?.getJobState(job?.id ?? '')).toBe('failed');
  expectAlive(fleet.workers);
  expect(readStory(await eventsOf(fleet.url, await createJob(fleet.url, 'short'))).end).toBe(
    'done',
  );
});

test('a waiting job that is removed in Bull Board ends its readers with a clear error', async () => {
  await withoutWorkers();
  const id = await createJob(fleet.url, 'short', { user: 'removed' });
  const readers = fleet.ingresses.map(({ url }) => follow(url, id));
  await Promise.all(readers.map((reader) => reader.until(({ events }) => events.length > 0)));

  const since = Date.now();
  await press(`${id}/clean`);

  await expectFailed(readers, since, 'job_removed');
  expect(await getJob(fleet.url, id)).toMatchObject({
    status: 'failed',
    error: { code: 'job_removed' },
  });
  // Both ingresses noticed; the log has one end.
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('failed');
  await fleet.addWorker();
  expect(readStory(await eventsOf(fleet.url, await createJob(fleet.url, 'short'))).end).toBe(
    'done',
  );
  expect(asked(fleet.primary, 'removed')).toBe(0);
});

test('Bull Board changes nothing by default, and a pause that is allowed is shown everywhere', async () => {
  await withoutWorkers();
  await replaceAdmin({ board: undefined });
  const id = await createJob(fleet.url, 'short');
  for (const path of ['empty', 'pause', 'clean/completed', 'obliterate', `${id}/clean`, 'add']) {
    await expect(press(path)).rejects.toThrow(/405/);
  }
  expect(await getJob(fleet.url, id)).toMatchObject({ status: 'queued' });
  await fleet.addWorker();
  await eventsOf(fleet.url, id);

  await replaceAdmin({ board: 'remove' });
  await press('pause');

  const ready = async (at: string) => (await fetch(`${at}/readyz`)).json();
  const reason = 'the queue is paused (shards 0)';
  for (const { url } of fleet.ingresses) {
    expect(await ready(url)).toEqual({ status: 'not_ready', reasons: [reason] });
  }
  const metrics = await (await fetch(`${fleet.url}/metrics`)).text();
  expect(metrics).toMatch(/^millrace_queue_paused 1$/m);
  const roles = [...fleet.ingresses, ...fleet.workers];
  const said = () => roles.map(({ stderr }) => stderr().split('the queue is paused').length - 1);
  await expect.poll(said).toEqual(roles.map(() => 1));
  await press('resume');
  expect(await ready(fleet.url)).toEqual({ status: 'ready', reasons: [] });
});

test('the queue of every shard has its own page in Bull Board', async () => {
  await withoutWorkers();
  await fleet.replaceIngress({ shards: 2 });
  await replaceAdmin({ shards: 2 });
  const ids = [await createJob(fleet.url, 'short'), await createJob(fleet.url, 'short')];
  const response = await fetch(`${fleet.url}/admin/queues/api/queues`);
  const { queues } = (await response.json()) as { queues: { name: string }[] };
  expect(new Set(queues.map(({ name }) => name)).size).toBe(2);
  const found = await Promise.all(
    ids.map(async (id) => {
      for (const { name } of queues) {
        const page = `${fleet.url}/admin/queues/api/queues/${encodeURIComponent(name)}/${id}`;
        if ((await fetch(page)).ok) return name;
      }
      return undefined;
    }),
  );
  expect(new Set(found)).toEqual(new Set(queues.map(({ name }) => name)));
});
