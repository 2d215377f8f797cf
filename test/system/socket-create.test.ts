import { afterAll, beforeAll, expect, it } from 'vitest';
import { aliases, chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

// What a request that is made on a WebSocket may say of itself, and how many there may be.

const short = 'healthy:tokens=10';
const endless = 'healthy:tokens=5000,pace=10';
const keys = [
  { id: 'low', secret: 'secret-low', priority: 'low' },
  { id: 'few', secret: 'secret-few', limits: { requestsPerMinute: 1 } },
];
const bearer = (key: string) => ({ authorization: `Bearer secret-${key}` });

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ models: aliases(short, endless), config: { keys } });
});
afterAll(() => fleet.close());

it('takes what a job takes, and tells it', async () => {
  const socket = await openSocket(fleet.url, bearer('low'));
  const metadata = { order: 42 };
  socket.send({
    type: 'create',
    ref: 'all',
    body: chat(short, { stream: true }),
    deadline: '1m',
    priority: 'low',
    continuation: 'off',
    metadata,
  });
  const { id = '' } = await socket.next(({ type }) => type === 'created');
  await socket.next(({ type }) => type === 'done');
  const answer = await call(`${fleet.url}/v1/jobs/${id}`, { headers: bearer('low') });
  expect(jsonOf(answer)).toMatchObject({ status: 'completed', metadata });
  await socket.close();
});

it('ends at its deadline', async () => {
  const socket = await openSocket(fleet.url, bearer('low'));
  socket.send({ type: 'create', body: chat(endless, { stream: true }), deadline: '700ms' });
  const { id } = await socket.next(({ type }) => type === 'created');
  expect(await socket.next((frame) => frame.id === id && frame.type === 'failed')).toMatchObject({
    data: { status: 'failed' },
  });
  await socket.close();
});

it('may not go before what its key may', async () => {
  const socket = await openSocket(fleet.url, bearer('low'));
  socket.send({ type: 'create', ref: 'high', body: chat(short), priority: 'high' });
  expect(await socket.next(({ ref }) => ref === 'high')).toMatchObject({
    type: 'error',
    error: { code: 'priority_not_allowed' },
  });
  await socket.close();
});

it('is told when to come back', async () => {
  const socket = await openSocket(fleet.url, bearer('few'));
  for (const ref of ['first', 'second']) socket.send({ type: 'create', ref, body: chat(short) });
  const { error } = await socket.next(({ type }) => type === 'error');
  expect(error?.code).toBe('rate_limit_exceeded');
  expect(error?.retry_after_ms).toBeGreaterThan(1000);
  // And nothing of the kind where coming back is of no use.
  socket.send({ type: 'create', ref: 'bad', body: {} });
  const bad = await socket.next(({ ref }) => ref === 'bad');
  expect(bad.error).not.toHaveProperty('retry_after_ms');
  await socket.close();
});

it('is one of a thousand at most, and there is room again when one is over', async () => {
  // None of them is to end.
  await fleet.killWorkers();
  const socket = await openSocket(fleet.url, bearer('low'));
  const body = chat(short, { stream: true });
  for (let i = 0; i < 1001; i += 1) {
    socket.send({ type: 'create', ref: String(i), body, detached: true });
  }
  const refused = await socket.next(({ type }) => type === 'error');
  expect(refused.error).toMatchObject({ code: 'too_many_requests_on_socket' });
  const created = () => socket.frames.filter(({ type }) => type === 'created');
  await socket.next(() => created().length === 1000);
  expect(socket.frames.filter(({ type }) => type === 'error')).toHaveLength(1);
  const samples = parsePrometheus((await call(`${fleet.url}/metrics`)).text);
  const counted = { reason: 'too_many_requests_on_socket' };
  expect(sumOf(samples, 'millrace_refusals_total', counted)).toBe(1);

  const { id = '' } = created()[0] ?? {};
  socket.send({ type: 'cancel', id });
  await socket.next((frame) => frame.id === id && frame.type === 'cancelled');
  socket.send({ type: 'create', ref: 'again', body, detached: true });
  expect(await socket.next(({ ref }) => ref === 'again')).toMatchObject({ type: 'created' });
  const cancelled = await call(`${fleet.url}/v1/jobs/${id}`, { headers: bearer('low') });
  expect(jsonOf(cancelled)).toMatchObject({ status: 'cancelled' });
  await socket.close();
});
