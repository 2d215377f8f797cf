import type { Redis } from '@millrace/shared/store/redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keyspace } from '@millrace/shared/store/keys';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, createJob, follow, requestId } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { chunks, expectWhole, readPlain } from '../kit/judge.ts';
import { expectAlive, expectEmpty, observeQueue, userOf } from '../kit/observe.ts';

// A Redis that answers, and says no for now: after a failover, before it has found its primary.

let fleet: Fleet;
let redis: Redis;

const start = async () => {
  fleet = await startFleet({
    models: {
      middle: 'healthy:tokens=100,pace=50',
      // Its worker finds the damage before its ingress does.
      brisk: 'healthy:tokens=100,pace=10',
      short: 'healthy:tokens=10',
      long: 'healthy:tokens=2000,pace=10',
      timed: {
        targets: [{ provider: 'primary', model: 'healthy:tokens=2000,pace=10' }],
        timeout: '3s',
      },
    },
    // Lets a test point Redis at a folder that takes no file.
    redisArgs: ['--enable-protected-configs', 'yes'],
  });
  redis = fleet.redis.connect();
};

const refusals: [code: string, begin: () => Promise<unknown>, end: () => Promise<unknown>][] = [
  ['READONLY', () => redis.replicaof('127.0.0.1', 1), () => redis.replicaof('NO', 'ONE')],
  [
    'MASTERDOWN',
    async () => {
      await redis.config('SET', 'replica-serve-stale-data', 'no');
      await redis.replicaof('127.0.0.1', 1);
    },
    () => redis.replicaof('NO', 'ONE'),
  ],
  [
    'NOREPLICAS',
    () => redis.config('SET', 'min-replicas-to-write', '1'),
    () => redis.config('SET', 'min-replicas-to-write', '0'),
  ],
  [
    // Its disk is full, or takes no write for another reason.
    'MISCONF',
    async () => {
      await redis.config('SET', 'save', '3600 1');
      await redis.config('SET', 'dir', '/proc');
      await redis.bgsave();
      await expect.poll(() => redis.info('persistence')).toContain('last_bgsave_status:err');
    },
    () => redis.config('SET', 'stop-writes-on-bgsave-error', 'no'),
  ],
];

describe('a refusal that a process meets first', () => {
  beforeEach(start);
  afterEach(() => fleet?.close());

  test.each(refusals)(
    'requests are told to try again while it says %s',
    async (code, begin, end) => {
      const running = ask(fleet.url, 'middle');
      const id = await createJob(fleet.url, 'short');
      await running.until(chunks(5));
      await begin();
      const asked = code === 'MASTERDOWN' ? redis.get('key') : redis.set('key', 'value');
      await expect(asked).rejects.toThrow(code);

      for (const stream of [ask(fleet.url, 'short'), askWhole(fleet.url, 'short')]) {
        const { head, error } = await readPlain(stream);
        expect(head.status).toBe(503);
        expect(head.headers['retry-after']).toMatch(/^\d+$/);
        expect(error).toMatchObject({ type: 'server_error', code: 'queue_unavailable' });
      }
      const body = { body: { model: 'short', messages: [{ role: 'user', content: '' }] } };
      const post = {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      };
      const routes: [path: string, init: RequestInit][] = [
        ['/v1/jobs', post],
        [`/v1/jobs/${id}`, {}],
        [`/v1/jobs/${id}/events`, {}],
        [`/v1/jobs/${id}`, { method: 'DELETE' }],
      ];
      for (const [path, init] of routes) {
        const answer = await fetch(`${fleet.url}${path}`, init);
        expect([path, init.method, answer.status]).toEqual([path, init.method, 503]);
        expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
        expect(await answer.json()).toMatchObject({ error: { code: 'queue_unavailable' } });
      }

      await expect
        .poll(async () => (await fetch(`${fleet.url}/readyz`)).json())
        .toEqual({ status: 'not_ready', reasons: [`redis refuses commands: ${code}`] });

      await end();
      fleet.hurry();
      // Clients whose requests were admitted before notice a pause, and nothing else.
      await expectWhole(running, expectedText({ tokens: 100 }));
      await expectWhole(ask(fleet.url, 'short'), expectedText({ tokens: 10 }));
      expectAlive([...fleet.ingresses, ...fleet.workers]);
      await expectEmpty(observeQueue(fleet));
    },
  );
});

describe('what runs already', () => {
  beforeAll(start);
  beforeEach(() => fleet.primary.reset());
  afterAll(() => fleet?.close());

  test('a request that is damaged in Redis fails alone, once, and the others go on', async () => {
    const keys = keyspace();
    const streams = Array.from({ length: 6 }, () => ask(fleet.url, 'brisk'));
    await Promise.all(streams.map((stream) => stream.until(chunks(10))));
    const [hash, log, ...others] = streams as [Stream, Stream, ...Stream[]];
    const [hashId, logId] = [await requestId(hash), await requestId(log)];
    // In one step: what is written in between would be a request that ended.
    const swap = "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'damaged')";
    await redis.eval(swap, 1, keys.request(hashId));
    await redis.eval(swap, 1, keys.log(logId));

    for (const stream of [hash, log]) {
      const { error } = await readPlain(stream);
      expect(error).toMatchObject({ code: expect.any(String) });
    }
    await Promise.all(others.map((stream) => expectWhole(stream, expectedText({ tokens: 100 }))));
    // Its job is over, and its upstream call is closed.
    await expectEmpty(observeQueue(fleet));
    await expect
      .poll(() => fleet.primary.requests.filter(({ state }) => state === 'open').length)
      .toBe(0);
    const told = (id: string) =>
      (fleet.workers[0]?.stderr() ?? '')
        .split('\n')
        .filter((line) => line.includes(`the data of ${id} in Redis is damaged`));
    for (const id of [hashId, logId]) await expect.poll(() => told(id)).toHaveLength(1);
    await expectWhole(ask(fleet.url, 'short'), expectedText({ tokens: 10 }));
    for (const id of [hashId, logId]) expect(told(id)).toHaveLength(1);
    expectAlive([...fleet.workers, ...fleet.ingresses]);
  });

  test('a client that leaves while it refuses has left when it takes words again', async () => {
    const stream = ask(fleet.url, 'long', { body: { user: 'left' } });
    await stream.until(chunks(5));
    const gone = async () =>
      sumOf(
        parsePrometheus(await (await fetch(`${fleet.url}/metrics`)).text()),
        'millrace_responses_total',
        { status: '499' },
      );
    const before = await gone();
    await redis.config('SET', 'min-replicas-to-write', '1');
    try {
      stream.leave();
      await expect.poll(gone).toBe(before + 1);
    } finally {
      await redis.config('SET', 'min-replicas-to-write', '0');
    }

    const call = await fleet.primary.waitFor(
      (request) => userOf(request) === 'left' && request.state !== 'open',
    );
    expect(call.state).toBe('aborted by client');
    await expectEmpty(observeQueue(fleet));
  });

  test("readers of every kind are ended by their ingress' own clock while Redis stands still", async () => {
    const plain = ask(fleet.url, 'timed');
    const answer = askWhole(fleet.url, 'timed');
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', body: chat('timed', { stream: true }) });
    const job = follow(fleet.url, await createJob(fleet.url, 'timed'));
    await Promise.all([plain.until(chunks(5)), job.until(chunks(5))]);
    await socket.next(({ type }) => type === 'chunk');
    // The whole answer's attempt has begun, too.
    await expect.poll(() => fleet.primary.requests.length).toBe(4);
    process.kill(fleet.redis.pid, 'SIGSTOP');
    try {
      await Promise.all([plain.ended, answer.ended, job.ended]);
      const { error } = await socket.next(({ type }) => type === 'error');
      expect(error?.code).toBe('answer_overdue');
    } finally {
      process.kill(fleet.redis.pid, 'SIGCONT');
    }
    expect(JSON.parse(plain.events.at(-1)?.data ?? '')).toMatchObject({
      error: { code: 'answer_overdue' },
    });
    expect(job.events.at(-1)?.event).toBe('error');
    expect(job.events.at(-1)?.data).toContain('answer_overdue');
    const { head, error } = await readPlain(answer);
    expect([head.status, error?.code]).toEqual([504, 'answer_overdue']);
    expectAlive([...fleet.ingresses, ...fleet.workers]);
    await socket.close();
    await expectEmpty(observeQueue(fleet));
  });
});
