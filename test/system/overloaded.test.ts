import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, createJob, readEvents, stream, viewJob } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { Press } from '../kit/pressed.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

// An ingress that is pressed itself, whatever the queue is like: its loop is really late, its heap
// really full.

const endless = 'healthy:tokens=5000,pace=10';
const pressed = new URL('../kit/pressed.ts', import.meta.url).href;

/** Milliseconds that a process may take to see how it is. */
const patienceMs = 60_000;
const patience = { timeout: patienceMs, interval: 200 };

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    ingresses: 0,
    models: { quick: 'healthy:tokens=5', endless },
    ingressFlags: ['--import', pressed, '--max-old-space-size=512'],
  });
});
afterAll(() => fleet?.close());

/** An ingress of its own for each test. */
const start = (limits: Record<string, unknown>) => fleet.replaceIngress({ limits });
const press = (message: Press) => fleet.ingresses[0]?.child.send(message);

const ask = () => call(`${fleet.url}/v1/chat/completions`, { body: chat('quick') });
const status = async () => (await ask()).status;
const scrape = async () => parsePrometheus((await call(`${fleet.url}/metrics`)).text);
const readiness = async () => {
  const answer = await call(`${fleet.url}/readyz`);
  return { code: answer.status, ...(jsonOf(answer) as { reasons: string[] }) };
};

test(
  'an ingress whose loop is late takes no new work on any way in, and goes on with what it has',
  async () => {
    // Half of what a turn takes while the loop is blocked.
    await start({ loopDelay: '75ms' });
    const running = stream(fleet.url, 'endless');
    await running.head;
    const job = await createJob(fleet.url, chat('endless', { stream: true }));
    const socket = await openSocket(fleet.url);

    press({ press: 'loop', on: true });
    await expect.poll(status, patience).toBe(503);

    // Together: each turn of its loop takes long.
    const refusals = await Promise.all([
      ask(),
      call(`${fleet.url}/v1/jobs`, { body: { body: chat('quick') } }),
    ]);
    for (const refused of refusals) {
      expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '2' } });
      expect(errorOf(refused)).toMatchObject({ type: 'server_error', code: 'ingress_overloaded' });
    }
    socket.send({ type: 'create', ref: 'late', body: chat('quick') });
    expect(await socket.next(({ ref }) => ref === 'late')).toMatchObject({
      type: 'error',
      error: { code: 'ingress_overloaded' },
    });
    const [samples, ready] = await Promise.all([scrape(), readiness()]);
    expect(
      sumOf(samples, 'millrace_requests_shed_total', { reason: 'ingress_loop_delay' }),
    ).toBeGreaterThanOrEqual(4);
    expect(ready).toMatchObject({
      code: 503,
      reasons: ['this ingress takes no new work: its event loop is late'],
    });
    const loop = (name: string) => sumOf(samples, name, { what: 'loop_delay' });
    expect(loop('millrace_bound_seconds')).toBeGreaterThan(0.075);
    expect(loop('millrace_bound_limit')).toBe(0.075);

    // What it has goes on: a stream, who comes back to one, a socket, a look and a cancel.
    const seen = running.text.length;
    await running.until(({ text }) => text.length > seen);
    const resumed = readEvents(fleet.url, job);
    await resumed.until(({ text }) => text.includes('event: chunk'));
    socket.send({ type: 'ping' });
    const [looked, models, health] = await Promise.all([
      viewJob(fleet.url, job),
      call(`${fleet.url}/v1/models`),
      call(`${fleet.url}/healthz`),
      socket.next(({ type }) => type === 'pong'),
    ]);
    expect(looked.status).toBe('running');
    expect([models.status, health.status]).toEqual([200, 200]);
    expect((await call(`${fleet.url}/v1/jobs/${job}`, { method: 'DELETE' })).status).toBe(200);
    await resumed.ended;

    press({ press: 'loop', on: false });
    await expect.poll(status, patience).toBe(200);
    expect((await readiness()).code).toBe(200);
    running.leave();
    await socket.close();
  },
  patienceMs * 2,
);

test(
  'an ingress whose heap is full takes no new work until it has room',
  async () => {
    await start({ memory: 40 });
    expect(await status()).toBe(200);

    press({ press: 'heap', megabytes: 300 });
    await expect.poll(status, patience).toBe(503);
    expect((await ask()).headers['retry-after']).toBe('5');
    expect((await readiness()).reasons).toEqual([
      'this ingress takes no new work: its heap is nearly full',
    ]);
    const samples = await scrape();
    expect(
      sumOf(samples, 'millrace_requests_shed_total', { reason: 'ingress_heap' }),
    ).toBeGreaterThan(0);
    const heap = (name: string) => sumOf(samples, name, { what: 'heap' });
    expect(heap('millrace_bound_bytes')).toBeGreaterThan(heap('millrace_bound_limit'));

    // What it held is garbage now. Nothing needs the room, and it is found all the same.
    press({ press: 'heap', megabytes: 0 });
    await expect.poll(status, patience).toBe(200);
  },
  patienceMs * 2,
);
