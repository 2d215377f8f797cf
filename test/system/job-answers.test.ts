import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aliases, chat, createJob, readEvents, viewJob } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';

// Answers of GET /v1/jobs/{id} that nobody takes.

const large = `big:bytes=${12 * 1024 * 1024},piece=16384`;

let fleet: Fleet;
let id: string;
beforeAll(async () => {
  fleet = await startFleet({ models: aliases(large), config: { limits: { readerStall: '2s' } } });
  id = await createJob(fleet.url, chat(large, { stream: true }));
  await readEvents(fleet.url, id).ended;
});
afterAll(() => fleet.close());

const bytes = async (what: string) =>
  sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), 'millrace_bound_bytes', {
    what,
  });

it('an answer that its client does not read is shown, and let go', async () => {
  expect((await viewJob(fleet.url, id)).status).toBe('completed');
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.pause();
  const closed = once(socket, 'close');
  socket.on('error', () => {});
  socket.write(`GET /v1/jobs/${id} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await expect.poll(() => bytes('reader_buffers')).toBeGreaterThan(1024 * 1024);
  expect(await bytes('job_answers')).toBeGreaterThan(1024 * 1024);
  await expect.poll(() => bytes('reader_buffers')).toBe(0);
  expect(await bytes('job_answers')).toBe(0);
  // What had left before is still to be read; its end is not that of the answer.
  socket.resume();
  await closed;
  expect(socket.bytesRead).toBeLessThan(12 * 1024 * 1024);
});
