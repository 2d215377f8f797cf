import { afterEach, expect, test } from 'vitest';
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

let fleet: Fleet;
afterEach(() => fleet?.close());

const start = async (limits: Record<string, unknown>, flags: string[] = []) => {
  fleet = await startFleet({
    models: { quick: 'healthy:tokens=5', endless },
    config: { limits },
    ingressFlags: ['--import', pressed, ...flags],
  });
};
const press = (message: Press) => fleet.ingresses[0]?.child.send(message);

const ask = () => call(`${fleet.url}/v1/chat/completions`, { body: chat('quick') });
const status = async () => (await ask()).status;
const scrape = async () => parsePrometheus((await call(`${fleet.url}/metrics`)).text);
const shed = async (reason: string) =>
  sumOf(await scrape(), 'millrace_requests_shed_total', { reason });
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
    await expect.poll(status, { timeout: patienceMs }).toBe(503);

    const refusals = [
      await ask(),
      await call(`${fleet.url}/v1/jobs`, { body: { body: chat('quick') } }),
    ];
    for (const refused of refusals) {
      expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '2' } });
      expect(errorOf(refused)).toMatchObject({ type: 'server_error', code: 'ingress_overloaded' });
    }
    socket.send({ type: 'create', ref: 'late', body: chat('quick') });
    expect(await socket.next(({ ref }) => ref === 'late')).toMatchObject({
      type: 'error',
      error: { code: 'ingress_overloaded' },
    });
    expect(await shed('ingress_loop_delay')).toBeGreaterThanOrEqual(4);
    expect(await readiness()).toMatchObject({
      code: 503,
      reasons: ['this ingress takes no new work: its event loop is late'],
    });
    expect(sumOf(await scrape(), 'millrace_bound_seconds', { what: 'loop_delay' })).toBeGreaterThan(
      0.075,
    );
    expect(sumOf(await scrape(), 'millrace_bound_limit', { what: 'loop_delay' })).toBe(0.075);

    // What it has goes on: a stream, who comes back to one, a socket, a look and a cancel.
    const seen = running.text.length;
    await running.until(({ text }) => text.length > seen);
    const resumed = readEvents(fleet.url, job);
    await resumed.until(({ text }) => text.includes('event: chunk'));
    socket.send({ type: 'ping' });
    await socket.next(({ type }) => type === 'pong');
    expect((await viewJob(fleet.url, job)).status).toBe('running');
    expect((await call(`${fleet.url}/v1/jobs/${job}`, { method: 'DELETE' })).status).toBe(200);
    await resumed.ended;
    expect((await call(`${fleet.url}/v1/models`)).status).toBe(200);
    expect((await call(`${fleet.url}/healthz`)).status).toBe(200);

    press({ press: 'loop', on: false });
    await expect.poll(status, { timeout: patienceMs }).toBe(200);
    expect((await readiness()).code).toBe(200);
    running.leave();
    await socket.close();
  },
  patienceMs * 2,
);

test(
  'an ingress whose heap is full takes no new work until it has room',
  async () => {
    await start({ memory: 40 }, ['--max-old-space-size=512']);
    expect(await status()).toBe(200);

    press({ press: 'heap', megabytes: 300 });
    await expect.poll(status, { timeout: patienceMs }).toBe(503);
    expect((await ask()).headers['retry-after']).toBe('5');
    expect(await shed('ingress_heap')).toBeGreaterThan(0);
    expect((await readiness()).reasons).toEqual([
      'this ingress takes no new work: its heap is nearly full',
    ]);
    const samples = await scrape();
    const heap = (name: string) => sumOf(samples, name, { what: 'heap' });
    expect(heap('millrace_bound_bytes')).toBeGreaterThan(heap('millrace_bound_limit'));

    // What it held is garbage now. Nothing needs the room, and it is found all the same.
    press({ press: 'heap', megabytes: 0 });
    await expect.poll(status, { timeout: patienceMs }).toBe(200);
  },
  patienceMs * 2,
);
