import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aliases, chat, createJob, readEvents } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';

// Requests that are pipelined behind an answer that is sent as a whole, and watched while it is.

const some = 'big:bytes=100000';
const large = `big:bytes=${12 * 1024 * 1024}`;
/** Says nothing for far longer than a reader may take nothing. */
const silent = 'healthy:tokens=10,first=3000';

let fleet: Fleet;
let jobs: { some: string; large: string };
beforeAll(async () => {
  const models = aliases(some, large, silent);
  fleet = await startFleet({ models, config: { limits: { readerStall: '1s' } } });
  jobs = { some: await completed(some), large: await completed(large) };
});
afterAll(() => fleet.close());

async function completed(model: string): Promise<string> {
  const id = await createJob(fleet.url, chat(model));
  await readEvents(fleet.url, id).ended;
  return id;
}

async function openConnection() {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

const get = (id: string, more = '') =>
  `GET /v1/jobs/${id} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;

function post(model: string, more = ''): string {
  const body = JSON.stringify(chat(model));
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n${more}`;
  return `${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const held = async () =>
  sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), 'millrace_bound_bytes', {
    what: 'reader_buffers',
  });

const last = 'Connection: close\r\n';

it.each([
  ['a job', () => get(jobs.some)],
  ['a completion', () => post(some)],
])('one whose provider is silent for long is served behind %s', async (_what, before) => {
  const socket = await openConnection();
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  const closed = once(socket, 'close');
  socket.write(before() + post(silent, last));
  await closed;
  expect(text.match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
  expect(text).toContain(`"model":"${silent}"`);
  expect(text.endsWith('}')).toBe(true);
});

it('another whole answer that nobody takes is let go as well', async () => {
  const socket = await openConnection();
  socket.pause();
  const closed = once(socket, 'close');
  // The first of them fits into what the system holds.
  socket.write(get(jobs.some) + get(jobs.large, last));
  await expect.poll(held).toBeGreaterThan(1024 * 1024);
  await expect.poll(held).toBe(0);
  socket.resume();
  await closed;
  expect(socket.bytesRead).toBeGreaterThan(100_000);
  expect(socket.bytesRead).toBeLessThan(12 * 1024 * 1024);
});
