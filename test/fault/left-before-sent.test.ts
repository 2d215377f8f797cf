import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import type { RedisProxy } from '../kit/redis-proxy.ts';
import { openSocket } from '../kit/socket.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, openStream } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { asked, expectEmpty, observeQueue, upstream } from '../kit/observe.ts';

// A client that leaves while its request waits for Redis to come back: there is nothing to end yet,
// and when Redis is back nobody looks at that client again.

const concurrent = 4;
const messages = [{ role: 'user', content: 'hi' }];
const text = expectedText({ tokens: 10 });
const authorization = { authorization: 'Bearer secret-of-a' };

let fleet: Fleet;
let proxy: RedisProxy;
beforeAll(async () => {
  fleet = await startFleet({
    ingresses: 0,
    models: { short: 'healthy:tokens=10', slow: 'healthy:first=9000' },
    config: { keys: [{ id: 'a', secret: 'secret-of-a', limits: { concurrent } }] },
  });
  proxy = await startRedisProxy(fleet.redis.url);
  await fleet.addIngress(proxy.url);
});
afterAll(async () => {
  await proxy?.close();
  await fleet?.close();
});

/** What the ingress counts, summed over the series that carry these labels. */
async function counted(name: string, labels: Record<string, string> = {}): Promise<number> {
  const page = await fetch(`${fleet.url}/metrics`);
  return sumOf(parsePrometheus(await page.text()), name, labels);
}

const as = (user: string, headers: Record<string, string> = authorization) => {
  return { body: { user }, headers };
};

test('a client that leaves before Redis is back has asked for nothing', async () => {
  const once = { ...authorization, 'idempotency-key': crypto.randomUUID() };
  const socket = await openSocket(fleet.url, authorization);
  // Redis knows the script by which a client's leaving is told: that comes before all else then.
  const known = ask(fleet.url, 'slow', as('known'));
  await upstream(fleet.primary, 'known');
  known.leave();
  await expectEmpty(observeQueue(fleet));
  proxy.cut();

  socket.send({ type: 'create', body: { model: 'short', messages, user: 'left' } });
  const leavers = [
    ask(fleet.url, 'short', as('left')),
    askWhole(fleet.url, 'short', as('left')),
    ask(fleet.url, 'short', as('shared', once)),
  ];
  await expect.poll(() => counted('millrace_requests_open')).toBe(leavers.length);
  for (const stream of leavers) stream.leave();
  socket.leave();
  await expect
    .poll(() => counted('millrace_responses_total', { status: '499' }))
    .toBe(1 + leavers.length);
  await expect.poll(() => counted('millrace_websockets_open')).toBe(0);
  proxy.mend();

  // Behind what might have been sent when Redis came back.
  await expectWhole(ask(fleet.url, 'short', as('shared', once)), text);
  // As many at once as the key may have.
  const next = Array.from({ length: concurrent }, () => ask(fleet.url, 'short', as('next')));
  for (const stream of next) await expectWhole(stream, text);
  await expectEmpty(observeQueue(fleet));
  expect(asked(fleet.primary, 'left')).toBe(0);
  expect(asked(fleet.primary, 'shared')).toBe(1);
});

test('what does not end with its client is sent all the same', async () => {
  const socket = await openSocket(fleet.url, authorization);
  proxy.cut();

  const asJob = JSON.stringify({ body: { model: 'short', messages, user: 'job' } });
  const job = openStream(`${fleet.url}/v1/jobs`, {
    method: 'POST',
    headers: { ...authorization, 'content-type': 'application/json' },
    body: asJob,
  });
  // No request is counted before Redis has it, but the ingress holds what it has read.
  await expect
    .poll(() => counted('millrace_bound_bytes', { what: 'request_bodies' }))
    .toBeGreaterThanOrEqual(asJob.length);
  const body = { model: 'short', messages, user: 'detached' };
  socket.send({ type: 'create', body, detached: true });
  // The ingress reads the frames of a socket in their order.
  socket.send({ type: 'ping' });
  await socket.next(({ type }) => type === 'pong');
  const kept = ask(
    fleet.url,
    'short',
    as('kept', { ...authorization, 'x-millrace-on-disconnect': 'keep' }),
  );
  await expect.poll(() => counted('millrace_requests_open')).toBe(1);
  for (const stream of [kept, job]) stream.leave();
  socket.leave();
  proxy.mend();

  for (const user of ['kept', 'job', 'detached']) await upstream(fleet.primary, user);
  await expectEmpty(observeQueue(fleet));
});
