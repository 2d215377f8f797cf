import { keyspace } from '@millrace/shared/store/keys';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chat } from '../kit/api.ts';
import { eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { call, errorOf, jsonOf, open } from '../kit/http.ts';
import type { Ended, Exchange } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

// Limits of keys over two ingresses. A minute is long: each test has a key of its own, and none waits
// for a window to pass.

let fleet: Fleet;
let one: RoleProcess;
let other: RoleProcess;

const key = (id: string, limits: Record<string, number>) => ({
  id,
  secret: `secret-${id}`,
  limits,
});

beforeAll(async () => {
  fleet = await startFleet({
    ingresses: 2,
    models: {
      short: 'healthy:tokens=10',
      long: 'healthy:tokens=5000,pace=10',
      broken: { targets: [{ provider: 'primary', model: 's12' }] },
    },
    config: {
      limits: { ownerGrace: '500ms' },
      keys: [
        key('crowd', { requestsPerMinute: 100 }),
        key('mixed', { requestsPerMinute: 3 }),
        key('sdk', { requestsPerMinute: 1 }),
        key('tokens', { tokensPerMinute: 2000 }),
        key('settled', { tokensPerMinute: 100_000, requestsPerMinute: 50 }),
        key('few', { concurrent: 2 }),
        key('race', { concurrent: 5 }),
        key('one', { concurrent: 1 }),
        key('jobs', { concurrent: 1 }),
        key('kept', { concurrent: 1 }),
        key('killed', { concurrent: 2 }),
        key('told', { concurrent: 1, requestsPerMinute: 50 }),
        key('both', { concurrent: 1, requestsPerMinute: 1 }),
        ...['left', 'cancelled', 'socket', 'lost', 'dead'].map((id) => key(id, { concurrent: 1 })),
        { id: 'free', secret: 'secret-free' },
      ],
    },
  });
  [one, other] = fleet.ingresses as [RoleProcess, RoleProcess];
});
afterAll(() => fleet.close());

const bearer = (id: string) => ({ authorization: `Bearer secret-${id}` });
const ask = (ingress: RoleProcess, id: string, model = 'short', more = {}): Promise<Ended> =>
  begin(ingress, id, model, more).ended;
const begin = (
  ingress: RoleProcess,
  id: string,
  model = 'long',
  more = {},
  headers = {},
): Exchange =>
  open(`${ingress.url}/v1/chat/completions`, {
    headers: { ...bearer(id), ...headers },
    body: chat(model, more),
  });
const makeJob = (ingress: RoleProcess, id: string, model: string): Promise<Ended> =>
  call(`${ingress.url}/v1/jobs`, { headers: bearer(id), body: { body: chat(model) } });
const idOf = (answer: Ended) => (jsonOf(answer) as { id: string }).id;
const cancel = (ingress: RoleProcess, key: string, id: string) =>
  call(`${ingress.url}/v1/jobs/${id}`, { method: 'DELETE', headers: bearer(key) });

/** A stream that is under way. */
async function stream(ingress: RoleProcess, id: string, headers = {}): Promise<Exchange> {
  const going = begin(ingress, id, 'long', { stream: true }, headers);
  expect(await going.head).toMatchObject({ status: 200 });
  return going;
}

describe('requests per minute', () => {
  it('are never more than allowed, over all ingresses and under contention', async () => {
    const answers = await Promise.all(
      Array.from({ length: 160 }, (_, i) => ask(i % 2 === 0 ? one : other, 'crowd')),
    );
    const served = answers.filter(({ status }) => status === 200);
    expect(served).toHaveLength(100);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(60);
    const remaining = served.map(({ headers }) =>
      Number(headers['x-ratelimit-remaining-requests']),
    );
    expect(remaining.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    for (const answer of refused) {
      expect(errorOf(answer)).toMatchObject({
        type: 'requests',
        code: 'rate_limit_exceeded',
        param: null,
        message: expect.stringContaining("'crowd' on requests per minute: limit 100, used 100"),
      });
      expect(answer.headers).toMatchObject({
        'x-ratelimit-limit-requests': '100',
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': expect.stringMatching(/^(1m\ds|\d+s)$/),
        'retry-after': expect.stringMatching(/^\d+$/),
      });
      const waitMs = Number(answer.headers['retry-after-ms']);
      expect(waitMs).toBeGreaterThan(30_000);
      expect(Number(answer.headers['retry-after'])).toBe(Math.ceil(waitMs / 1000));
    }
  });

  it('count on every way in alike, and say so on a WebSocket too', async () => {
    const first = await ask(one, 'mixed', 'short', { stream: true });
    expect(first.headers).toMatchObject({
      'x-ratelimit-limit-requests': '3',
      'x-ratelimit-remaining-requests': '2',
    });
    expect(first.headers).not.toHaveProperty('x-ratelimit-limit-tokens');
    const job = await makeJob(other, 'mixed', 'short');
    expect(job.headers).toMatchObject({ 'x-ratelimit-remaining-requests': '1' });
    const socket = await openSocket(one.url, bearer('mixed'));
    socket.send({ type: 'create', ref: 'a', body: chat('short') });
    await socket.next(({ type }) => type === 'done');
    socket.send({ type: 'create', ref: 'b', body: chat('short') });
    expect(await socket.next(({ ref, type }) => ref === 'b' && type === 'error')).toMatchObject({
      error: { code: 'rate_limit_exceeded', type: 'requests' },
    });
    await socket.close();
    for (const answer of [await makeJob(one, 'mixed', 'short'), await ask(other, 'mixed')]) {
      expect(answer.status).toBe(429);
    }
  });

  it('are not charged for what was refused as invalid, nor limit other keys', async () => {
    for (let i = 0; i < 5; i++) expect((await ask(one, 'both', 'nothing')).status).toBe(404);
    expect((await ask(one, 'both')).status).toBe(200);
    expect((await ask(other, 'both')).status).toBe(429);
    const free = await ask(one, 'free');
    expect(free.status).toBe(200);
    expect(Object.keys(free.headers).filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
  });

  it("are the SDK's RateLimitError", async () => {
    const client = new OpenAI({ baseURL: `${one.url}/v1`, apiKey: 'secret-sdk', maxRetries: 0 });
    const create = () =>
      client.chat.completions.create({
        model: 'short',
        messages: [{ role: 'user', content: 'hello' }],
      });
    await create();
    await expect(create()).rejects.toBeInstanceOf(OpenAI.RateLimitError);
    await expect(create()).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  });

  it('show in the metrics with the id of the key, and in the log, both without the key', async () => {
    const pages = await Promise.all([one, other].map(({ url }) => call(`${url}/metrics`)));
    const samples = pages.map(({ text }) => parsePrometheus(text));
    const refused = (labels: Record<string, string>) =>
      samples.reduce((sum, page) => sum + sumOf(page, 'millrace_refusals_total', labels), 0);
    expect(refused({ reason: 'requests', key: 'crowd' })).toBe(60);
    expect(refused({ reason: 'requests', key: 'sdk' })).toBe(2);
    for (const { text } of pages) expect(text).not.toContain('secret-');
    const log = one.stderr() + other.stderr();
    expect(log).toContain('"reason":"requests","key":"crowd"');
    expect(log).not.toContain('secret-');
  });
});

describe('tokens per minute', () => {
  it('are charged as estimated, and refused where they are not left', async () => {
    const running = await Promise.all(
      Array.from(
        { length: 6 },
        (_, i) =>
          begin(i % 2 ? one : other, 'tokens', 'long', { stream: true, max_tokens: 600 }).head,
      ),
    );
    expect(running.filter(({ status }) => status === 200)).toHaveLength(3);
    const answer = await ask(one, 'tokens', 'short', { max_tokens: 600 });
    expect(errorOf(answer)).toMatchObject({ type: 'tokens', code: 'rate_limit_exceeded' });
    expect(answer.headers).toMatchObject({ 'x-ratelimit-limit-tokens': '2000' });
  });

  it('are settled with what was really used, whoever reads the answer', async () => {
    const used = async () => {
      const { headers } = await ask(one, 'settled');
      return 100_000 - Number(headers['x-ratelimit-remaining-tokens']);
    };
    const usage = async (answer: Ended) =>
      (jsonOf(answer) as { usage: { total_tokens: number } }).usage.total_tokens;
    // Its own estimate is in what each of them is told.
    const estimate = await used();
    const first = await ask(other, 'settled', 'short', { max_tokens: 5000 });
    const real = await usage(first);
    expect(real).toBeLessThan(100);
    await expect.poll(used).toBeLessThan(estimate + 5000);
    const before = await used();
    expect(before).toBeLessThan(estimate + 10 * 100);

    const job = await makeJob(other, 'settled', 'short');
    const events = await call(`${one.url}/v1/jobs/${idOf(job)}/events`, {
      headers: bearer('settled'),
    });
    expect(eventsOf(events.text).at(-1)?.event).toBe('done');
    const refused = await ask(one, 'settled', 'broken', { max_tokens: 50_000 });
    expect(refused.status).toBeGreaterThanOrEqual(400);
    await expect.poll(used).toBeLessThan(before + 10 * 100);
  });
});

describe('concurrent requests', () => {
  it('are counted over all ingresses, whatever way they came', async () => {
    const streaming = await stream(one, 'few');
    const socket = await openSocket(other.url, bearer('few'));
    socket.send({ type: 'create', ref: 'a', body: chat('long', { stream: true }) });
    const { id = '' } = await socket.next(({ type }) => type === 'created');
    for (const ingress of [one, other]) {
      const answer = await ask(ingress, 'few');
      expect(answer.status).toBe(429);
      expect(answer.headers['retry-after']).toBe('1');
      expect(errorOf(answer)).toMatchObject({
        type: 'requests',
        code: 'rate_limit_exceeded',
        message: expect.stringContaining('concurrent requests: 2 are under way'),
      });
      expect((await makeJob(ingress, 'few', 'short')).status).toBe(429);
    }
    socket.send({ type: 'cancel', id });
    await socket.next(({ type }) => type === 'cancelled');
    expect((await ask(one, 'few')).status).toBe(200);
    socket.send({ type: 'create', ref: 'b', body: chat('long') });
    await socket.next(({ ref, type }) => ref === 'b' && type === 'created');
    expect((await ask(one, 'few')).status).toBe(429);
    socket.leave();
    await expect.poll(async () => (await ask(one, 'few')).status).toBe(200);
    streaming.leave();
  });

  it.each([
    ['', 0],
    [', while Redis pauses for 400 ms', 400],
  ])('are never more than allowed when all come at once%s', async (_when, pauseMs) => {
    // A first try of this test may have left streams whose end is not counted yet.
    await expect.poll(async () => (await ask(one, 'race', 'short')).status).toBe(200);
    if (pauseMs > 0) await fleet.redis.connect().call('CLIENT', 'PAUSE', pauseMs);
    const calls = Array.from({ length: 40 }, (_, i) =>
      begin(i % 2 ? one : other, 'race', 'long', { stream: true }),
    );
    const heads = await Promise.all(calls.map(({ head }) => head));
    for (const going of calls) going.leave();
    const served = heads.map(({ status }) => status).filter((status) => status !== 429);
    expect(served).toEqual([200, 200, 200, 200, 200]);
  });

  it('are refused with what is known of the other limits, where it was asked and elsewhere', async () => {
    const going = await stream(one, 'told');
    expect((await going.head).headers).toMatchObject({ 'x-ratelimit-remaining-requests': '49' });
    const here = await ask(one, 'told');
    expect(here).toMatchObject({
      status: 429,
      headers: {
        'x-ratelimit-limit-requests': '50',
        'x-ratelimit-remaining-requests': '49',
        'x-ratelimit-reset-requests': expect.stringMatching(/s$/),
      },
    });
    const elsewhere = await ask(other, 'told');
    expect(elsewhere).toMatchObject({
      status: 429,
      headers: { 'x-ratelimit-limit-requests': '50' },
    });
    expect(elsewhere.headers).not.toHaveProperty('x-ratelimit-remaining-requests');
    going.leave();
  });

  it('leave room as soon as an answer has ended, so that one after the other goes', async () => {
    for (let i = 0; i < 20; i++) {
      const answer = await ask(i % 2 ? one : other, 'one', 'short', { stream: i % 3 === 0 });
      expect(answer.status).toBe(200);
    }
  });

  it('count a job until its end, also when another ingress cancels it', async () => {
    const job = await makeJob(one, 'jobs', 'long');
    expect(job.status).toBe(202);
    expect((await makeJob(other, 'jobs', 'short')).status).toBe(429);
    await cancel(other, 'jobs', idOf(job));
    const short = await makeJob(other, 'jobs', 'short');
    expect(short.status).toBe(202);
    // Nobody reads it: its worker says that it is over.
    await expect.poll(async () => (await ask(one, 'jobs')).status).toBe(200);
  });

  it('count a request that outlives its client until its own end', async () => {
    const going = await stream(one, 'kept', { 'x-millrace-on-disconnect': 'keep' });
    const id = String((await going.head).headers['x-request-id']);
    going.leave();
    await fleet.primary.waitFor(({ state }) => state === 'open');
    expect((await ask(other, 'kept')).status).toBe(429);
    await cancel(other, 'kept', id);
    expect((await ask(other, 'kept')).status).toBe(200);
  });

  it('are given back by themselves when their ingress is killed', async () => {
    const dying = await fleet.addIngress();
    await stream(dying, 'killed');
    expect((await makeJob(dying, 'killed', 'long')).status).toBe(202);
    expect((await ask(one, 'killed')).status).toBe(429);
    await dying.stop('SIGKILL');
    // The stream ends after the grace; the job runs on, and counts for as long as it does.
    await expect.poll(async () => (await ask(one, 'killed')).status, { timeout: 15_000 }).toBe(200);
    const redis = fleet.redis.connect();
    await expect.poll(() => redis.zcard('millrace:leases:key:killed'), { timeout: 15_000 }).toBe(1);
  });

  it('leave nothing in Redis that has no end of life', async () => {
    const redis = fleet.redis.connect();
    const names = await redis.keys('millrace:l*');
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) expect(await redis.pttl(name)).toBeGreaterThan(0);
  });
});

describe('concurrent requests that no worker has taken yet', () => {
  beforeAll(() => fleet.killWorkers());

  /** A job takes the place when there is one, and gives it back at once. */
  async function isFree(id: string): Promise<boolean> {
    const job = await makeJob(other, id, 'short');
    if (job.status === 429) return false;
    await cancel(other, id, idOf(job));
    return true;
  }
  /** Looked at from beside: to ask for the place would be to take it. */
  async function expectTaken(id: string): Promise<void> {
    const redis = fleet.redis.connect();
    await expect.poll(() => redis.zcard(`millrace:leases:key:${id}`)).toBe(1);
    expect(await isFree(id)).toBe(false);
  }

  it('leave room when their client goes', async () => {
    const going = begin(one, 'left', 'short');
    await expectTaken('left');
    going.leave();
    await expect.poll(() => isFree('left')).toBe(true);
  });

  it('leave room when their socket goes', async () => {
    const socket = await openSocket(one.url, bearer('socket'));
    socket.send({ type: 'create', body: chat('short') });
    await expectTaken('socket');
    socket.leave();
    await expect.poll(() => isFree('socket')).toBe(true);
  });

  it('leave room when Redis lost them, on a socket that stays', async () => {
    const socket = await openSocket(one.url, bearer('lost'));
    socket.send({ type: 'create', body: chat('short') });
    const { id = '' } = await socket.next(({ type }) => type === 'created');
    await expectTaken('lost');
    expect(await fleet.redis.connect().del(keyspace().request(id))).toBe(1);
    const told = await socket.next(({ type }) => type === 'error');
    expect(told).toMatchObject({ id, error: { code: 'stream_lost' } });
    await expect.poll(() => isFree('lost')).toBe(true);
    await socket.close();
  });

  it('leave room when they are cancelled, on whichever ingress', async () => {
    const job = await makeJob(one, 'cancelled', 'short');
    expect(await isFree('cancelled')).toBe(false);
    await cancel(other, 'cancelled', idOf(job));
    expect(await isFree('cancelled')).toBe(true);
    expect(await isFree('cancelled')).toBe(true);
  });

  it('leave room by themselves when their ingress is killed', async () => {
    const dying = await fleet.addIngress();
    begin(dying, 'dead', 'short');
    await expectTaken('dead');
    await dying.stop('SIGKILL');
    await expect.poll(() => isFree('dead'), { interval: 200 }).toBe(true);
  });
});
