import type { Redis } from '@millrace/shared/redis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startFleet } from '../harness/fleet.ts';
import type { Fleet } from '../harness/fleet.ts';
import { parsePrometheus, sumOf } from '../harness/prometheus.ts';
import { expectedText } from '../simulator/index.ts';
import { ask, askWhole, createJob } from './client.ts';
import { chunks, expectWhole, readPlain } from './judge.ts';
import { expectAlive, expectEmpty, observeQueue, userOf } from './observe.ts';

// A Redis that answers, and says no for now: after a failover, before it has found its primary.

let fleet: Fleet;
let redis: Redis;

beforeEach(async () => {
  fleet = await startFleet({
    models: {
      middle: 'healthy:tokens=100,pace=10',
      short: 'healthy:tokens=10',
      long: 'healthy:tokens=2000,pace=10',
    },
  });
  redis = fleet.redis.connect();
});
afterEach(() => fleet?.close());

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
];

test.each(refusals)('requests are told to try again while it says %s', async (code, begin, end) => {
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

  await end();
  // Nobody who had been let in before notices more than a pause.
  await expectWhole(running, expectedText({ tokens: 100 }));
  await expectWhole(ask(fleet.url, 'short'), expectedText({ tokens: 10 }));
  expectAlive([...fleet.ingresses, ...fleet.workers]);
  await expectEmpty(observeQueue(fleet));
});

test('a client that leaves while it refuses has left when it takes words again', async () => {
  const stream = ask(fleet.url, 'long', { body: { user: 'left' } });
  await stream.until(chunks(5));
  await redis.config('SET', 'min-replicas-to-write', '1');
  stream.leave();
  const gone = async () =>
    sumOf(
      parsePrometheus(await (await fetch(`${fleet.url}/metrics`)).text()),
      'millrace_responses_total',
      { status: '499' },
    );
  await expect.poll(gone).toBe(1);

  await redis.config('SET', 'min-replicas-to-write', '0');

  const call = await fleet.primary.waitFor(
    (request) => userOf(request) === 'left' && request.state !== 'open',
  );
  expect(call.state).toBe('aborted by client');
  await expectEmpty(observeQueue(fleet));
});
