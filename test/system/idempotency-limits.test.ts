import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { keyspace } from '@millrace/shared/store/keys';
import { chat, complete } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { Exchange } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';

// What a key is charged for a request that is asked for more than once. Looked at in Redis, because
// to ask for more would be to use it. What is given back is there a moment after the answer.

const model = 'endless';
let fleet: Fleet;
let redis: Redis;
/** Of the test that runs: what a key has used stays, so that each try has another one. */
let tries = 0;
beforeEach(({ task }) => {
  tries = task.result?.retryCount ?? 0;
});
beforeAll(async () => {
  fleet = await startFleet({
    ingresses: 2,
    models: { [model]: 'healthy:tokens=5000,pace=10' },
    config: {
      keys: ['calls', 'jobs', 'sockets', 'conflict', 'memory', 'streams', 'leavers']
        .flatMap((id) => [`${id}-0`, `${id}-1`])
        .map((id) => {
          const limits = { requestsPerMinute: 100, tokensPerMinute: 100_000, concurrent: 5 };
          return { id, secret: `secret-${id}`, limits };
        }),
    },
  });
  redis = fleet.redis.connect();
});
afterAll(() => fleet.close());

const urls = () => fleet.ingresses.map(({ url }) => url) as [string, string];
const as = (id: string) => ({ authorization: `Bearer secret-${id}-${tries}` });
const body = chat(model, { stream: true });
const newKey = () => crypto.randomUUID();

const ask = (url: string, id: string, key: string, more = {}): Exchange =>
  complete(url, { ...body, ...more }, { ...as(id), 'idempotency-key': key });
const makeJob = (url: string, id: string, key: string) =>
  call(`${url}/v1/jobs`, { body: { body }, headers: { ...as(id), 'idempotency-key': key } });

/** What is used of the limits of a key, and what is under way. */
async function usedBy(id: string) {
  const windows = await redis.hgetall(keyspace().limit(`key:${id}-${tries}`));
  const sum = (name: string) =>
    Object.entries(windows)
      .filter(([field]) => field.startsWith(`${name}:`))
      .reduce((total, [, amount]) => total + Number(amount), 0);
  const leases = await redis.zcard(keyspace().leases(`key:${id}-${tries}`));
  return { requests: sum('requests'), tokens: sum('tokens'), leases };
}

/** Those who wait for the answer of a request. */
async function callersOf(id: string): Promise<number> {
  const callers = await redis.hget(keyspace().request(id), 'callers');
  return (callers ?? '').split(' ').filter((one) => one !== '').length;
}

const cancel = (key: string, id: string) =>
  call(`${fleet.url}/v1/jobs/${id}`, { method: 'DELETE', headers: as(key) });

describe('a request that is asked for again with its Idempotency-Key', () => {
  it('is charged once as a call', async () => {
    const [one, two] = urls();
    const key = newKey();
    const first = ask(one, 'calls', key);
    await first.head;
    const used = await usedBy('calls');
    expect(used).toMatchObject({ requests: 1, leases: 1 });
    expect(used.tokens).toBeGreaterThan(0);
    const again = [ask(one, 'calls', key), ask(two, 'calls', key), ask(two, 'calls', key)];
    for (const { head } of again) {
      expect((await head).headers['idempotent-replayed']).toBe('true');
    }
    await expect.poll(() => usedBy('calls')).toEqual(used);
    for (const one of [first, ...again]) one.leave();
  });

  it('is charged once as a job', async () => {
    const key = newKey();
    const { id } = jsonOf(await makeJob(urls()[0], 'jobs', key)) as { id: string };
    const used = await usedBy('jobs');
    expect(used).toMatchObject({ requests: 1, leases: 1 });
    for (const url of urls()) {
      expect((await makeJob(url, 'jobs', key)).headers['idempotent-replayed']).toBe('true');
    }
    await expect.poll(() => usedBy('jobs')).toEqual(used);
    await cancel('jobs', id);
  });

  it('is charged once on WebSockets', async () => {
    const sockets = await Promise.all(urls().map((url) => openSocket(url, as('sockets'))));
    const frame = { type: 'create', idempotency_key: newKey(), body };
    sockets[0]?.send({ ...frame, ref: 'first' });
    await sockets[0]?.next(({ ref }) => ref === 'first');
    const used = await usedBy('sockets');
    expect(used).toMatchObject({ requests: 1, leases: 1 });
    for (const socket of sockets) {
      socket.send({ ...frame, ref: 'again' });
      expect(await socket.next(({ ref }) => ref === 'again')).toMatchObject({ type: 'created' });
    }
    await expect.poll(() => usedBy('sockets')).toEqual(used);
    for (const socket of sockets) socket.leave();
  });
});

describe('a request that is not made', () => {
  it('because its Idempotency-Key is of another one costs nothing', async () => {
    const key = newKey();
    const first = ask(urls()[0], 'conflict', key);
    await first.head;
    const used = await usedBy('conflict');
    const other = await ask(urls()[1], 'conflict', key, { max_tokens: 7 }).ended;
    expect(other.status).toBe(409);
    await expect.poll(() => usedBy('conflict')).toEqual(used);
    first.leave();
  });

  it('because the queue is out of memory costs nothing', async () => {
    // Made there, so that no connection's buffer is counted with it.
    await redis.setrange('filler', 30_000_000, 'x');
    const held = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    // Above the soft limit; Redis itself would still take it.
    await redis.config('SET', 'maxmemory', String(Math.round(held * 1.05)));
    let made = 0;
    const refused = async () => {
      const job = await makeJob(urls()[0], 'memory', newKey());
      if (job.status !== 202) return errorOf(job).code;
      made += 1;
      await cancel('memory', (jsonOf(job) as { id: string }).id);
      return undefined;
    };
    await expect.poll(refused, { interval: 50 }).toBe('queue_full');
    expect(await refused()).toBe('queue_full');
    await redis.config('SET', 'maxmemory', '0');
    await redis.del('filler');
    await expect.poll(() => usedBy('memory')).toMatchObject({ requests: made, leases: 0 });
  });
});

describe('the place of a request that several callers wait for', () => {
  it('is free when the last of them leaves', async () => {
    const [one, two] = urls();
    const key = newKey();
    const first = ask(one, 'streams', key);
    const id = String((await first.head).headers['x-request-id']);
    const second = ask(two, 'streams', key);
    await second.head;
    expect(await callersOf(id)).toBe(2);
    first.leave();
    await expect.poll(() => callersOf(id)).toBe(1);
    expect(await usedBy('streams')).toMatchObject({ leases: 1 });
    second.leave();
    await expect.poll(async () => (await usedBy('streams')).leases).toBe(0);
  });

  it('is free when the last of their sockets closes', async () => {
    const sockets = await Promise.all(urls().map((url) => openSocket(url, as('leavers'))));
    const frame = { type: 'create', ref: 'it', idempotency_key: newKey(), body };
    let id = '';
    for (const socket of sockets) {
      socket.send(frame);
      id = (await socket.next(({ ref }) => ref === 'it')).id ?? '';
    }
    expect(await callersOf(id)).toBe(2);
    sockets[0]?.leave();
    await expect.poll(() => callersOf(id)).toBe(1);
    expect(await usedBy('leavers')).toMatchObject({ leases: 1 });
    sockets[1]?.leave();
    await expect.poll(async () => (await usedBy('leavers')).leases).toBe(0);
  });
});
