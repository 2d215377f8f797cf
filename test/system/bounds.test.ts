import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { aliases } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';
import { ask } from '../kit/client.ts';

const big = `big:bytes=${10 * 1024 * 1024}`;
const endless = 'healthy:tokens=5000,pace=10';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    models: { ...aliases(endless), big },
    // The folder is the control plane's, of which there is none here.
    config: { limits: { readerBuffer: '64KiB' }, debugLog: { dir: '/nowhere' } },
  });
});
afterAll(() => fleet.close());

const scrape = async () => parsePrometheus((await call(`${fleet.url}/metrics`)).text);
const bytes = async (what: string) => sumOf(await scrape(), 'millrace_bound_bytes', { what });
const entries = async (what: string) => sumOf(await scrape(), 'millrace_bound_entries', { what });

test('every bound that is shown is told of, with its limit, and the other way round', async () => {
  await expect
    .poll(async () => sumOf(await scrape(), 'millrace_bound_limit', { what: 'runs' }))
    .toBe(2048);
  const shown = (await scrape()).filter(({ name }) =>
    /^millrace_bound_(bytes|entries|seconds)$/.test(name),
  );
  const page = readFileSync(new URL('../../docs/bounds.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| (?!---|what \|)/.test(line));
  const told = rows.map((row) => /\| (?:in )?`(\w+)` \|$/.exec(row)?.[1] ?? row);
  const names = new Set(shown.map(({ labels }) => labels['what']));
  // A row names what shows it, or says why nothing does.
  const isNamed = (row: string) => names.has(row) || /\| none: [^|]+ \|$/.test(row);
  expect(told.filter((row) => !isNamed(row))).toEqual([]);
  for (const name of names) expect(told).toContain(name);
});

test('what waits for a reader is shown, and stays near its limit', async () => {
  const stopped = ask(fleet.url, 'big', { keepText: false });
  await stopped.until(({ events }) => events.length > 0);
  stopped.pause();
  // Between half of its buffer, where it would be given more, and its buffer with one read of the log.
  let before: number;
  let held = Number.NaN;
  await expect
    .poll(async () => {
      before = held;
      held = await bytes('reader_buffers');
      return held === before && held > 32 * 1024;
    })
    .toBe(true);
  expect(held).toBeLessThan(1024 * 1024);
  expect(await entries('readers')).toBe(1);
  stopped.leave();
  await expect.poll(() => bytes('reader_buffers')).toBe(0);
});

test('a body that stands still is shown until its client is gone', async () => {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  const head = 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n';
  const type = 'Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n';
  socket.write(`${head}${type}${'x'.repeat(5000)}`);
  await expect.poll(() => bytes('request_bodies')).toBe(5000);
  socket.destroy();
  await expect.poll(() => bytes('request_bodies')).toBe(0);
});

test('requests of sockets and runs of workers are shown', async () => {
  const socket = await openSocket(fleet.url);
  const body = { model: endless, messages: [{ role: 'user', content: 'hi' }], stream: true };
  for (const ref of ['a', 'b']) socket.send({ type: 'create', ref, body });
  await expect.poll(() => entries('socket_requests')).toBe(2);
  await expect.poll(() => entries('runs')).toBe(2);
  await expect.poll(() => bytes('shown_texts')).toBeGreaterThan(0);
  expect(await entries('most_connections_of_an_address')).toBeGreaterThan(0);
  await socket.close();
  await expect.poll(() => entries('socket_requests')).toBe(0);
  await expect.poll(() => entries('runs')).toBe(0);
  await expect.poll(() => bytes('shown_texts')).toBe(0);
});
