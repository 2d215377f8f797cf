import { keyspace, queueName } from '@millrace/shared/store/keys';
import type { Redis } from '@millrace/shared/store/redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  aliases,
  cancelJob,
  chat,
  complete,
  createJob,
  expectClosed,
  readEvents,
  upstreamOf,
  viewJob,
} from '../kit/api.ts';
import { eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { errorOf } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';

const blocking = 'healthy:tokens=5000,pace=20';
const queued = 'healthy:tokens=5';

let fleet: Fleet;
let redis: Redis;
/** The job that has the only place while a test runs. */
let blocker: string;
beforeAll(async () => {
  fleet = await startFleet({
    models: aliases(blocking, queued, 'silent'),
    config: { limits: { workerConcurrency: 1 } },
  });
  redis = fleet.redis.connect();
});
afterAll(() => fleet.close());
beforeEach(async () => {
  blocker = await createJob(fleet.url, chat(blocking, { stream: true }));
  await upstreamOf(fleet.primary, blocking);
});
afterEach(async () => {
  await cancelJob(fleet.url, blocker);
  fleet.primary.reset();
});

const positionsTold = (text: string) =>
  eventsOf(text)
    .filter(({ event }) => event === 'queued')
    .map(({ id, data }) => ({ id, ...(JSON.parse(data) as object) }));

describe('a job that waits', () => {
  it('says its place, which moves on', async () => {
    const first = await createJob(fleet.url, chat(queued));
    const second = await createJob(fleet.url, chat(queued));
    expect(await viewJob(fleet.url, first)).toMatchObject({
      status: 'queued',
      queue_position: 0,
      attempts: [],
    });
    expect(await viewJob(fleet.url, second)).toMatchObject({ queue_position: 1 });
    await cancelJob(fleet.url, first);
    expect(await viewJob(fleet.url, second)).toMatchObject({ queue_position: 0 });
    await cancelJob(fleet.url, second);
  });

  it('tells its readers the place at once, without an entry id, and then the rest', async () => {
    const id = await createJob(fleet.url, chat(queued, { stream: true }));
    const reader = readEvents(fleet.url, id);
    await reader.until(({ text }) => text.includes('event: queued'));
    expect(positionsTold(reader.text)).toMatchObject([{ id: undefined, position: 0 }]);
    await cancelJob(fleet.url, blocker);
    const events = eventsOf((await reader.ended).text).map(({ event }) => event);
    expect(events.slice(0, 3)).toEqual(['queued', 'attempt', 'chunk']);
    expect(events.at(-1)).toBe('done');
    // Not kept: whoever reads it again is not told.
    expect(positionsTold((await readEvents(fleet.url, id).ended).text)).toEqual([]);
  });

  it('tells it over a WebSocket, too', async () => {
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', ref: 'a', body: chat(queued, { stream: true }) });
    const told = await socket.next(({ type }) => type === 'queued');
    expect(told).toMatchObject({ type: 'queued', id: expect.any(String), data: { position: 0 } });
    expect(told).not.toHaveProperty('entry');
    await socket.close();
  });

  it('never runs once it is cancelled, and its readers hear of it', async () => {
    const id = await createJob(fleet.url, chat(queued, { stream: true }));
    const after = await createJob(fleet.url, chat(queued, { stream: true, user: 'after' }));
    const reader = readEvents(fleet.url, id);
    await reader.until(({ text }) => text.includes('event: queued'));
    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    expect(eventsOf((await reader.ended).text).at(-1)?.event).toBe('cancelled');
    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    expect(await viewJob(fleet.url, id)).toMatchObject({ status: 'cancelled', attempts: [] });
    // The one behind it has its turn, and is the only one that does.
    await cancelJob(fleet.url, blocker);
    await readEvents(fleet.url, after).ended;
    const asked = fleet.primary.requests.filter(({ model }) => model === queued);
    expect(asked.map(({ body }) => body)).toMatchObject([{ user: 'after' }]);
  });
});

describe('a plain request that is cancelled from outside', () => {
  /** Of the only job that runs: its client has no head yet, and so no id. */
  const runningId = async (): Promise<string> => {
    const [id] = await redis.lrange(`${keyspace().tag(0)}:${queueName}:active`, 0, -1);
    return id ?? '';
  };

  it.each([true, false])('before its head answers 409, with stream %s', async (isStream) => {
    await cancelJob(fleet.url, blocker);
    const plain = complete(fleet.url, chat('silent', { stream: isStream }));
    const upstream = await upstreamOf(fleet.primary, 'silent');
    const id = await runningId();
    const at = Date.now();
    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    const answer = await plain.ended;
    expect(answer.status).toBe(409);
    expect(errorOf(answer)).toMatchObject({ code: 'request_cancelled' });
    expect(answer.headers['x-request-id']).toBe(id);
    await expectClosed(fleet.primary, upstream, at);
  });
});

describe('a client that leaves while its request waits', () => {
  it.each([true, false])('takes it out of the queue, with stream %s', async (isStream) => {
    const plain = complete(fleet.url, chat(queued, { stream: isStream, user: 'left' }));
    const waiting = `${keyspace().tag(0)}:${queueName}:prioritized`;
    await expect.poll(() => redis.zcard(waiting), { interval: 10 }).toBe(1);
    plain.leave();
    await expect.poll(() => redis.zcard(waiting), { interval: 10 }).toBe(0);
    const next = await createJob(fleet.url, chat(queued, { user: 'next' }));
    await cancelJob(fleet.url, blocker);
    await readEvents(fleet.url, next).ended;
    const asked = fleet.primary.requests.filter(({ model }) => model === queued);
    expect(asked.map(({ body }) => body)).toMatchObject([{ user: 'next' }]);
  });
});
