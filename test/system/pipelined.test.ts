import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aliases } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';

const endless = 'healthy:tokens=5000,pace=10';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ models: aliases(endless) });
});
afterAll(() => fleet.close());

async function openSocket() {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}

const metric = async (name: string) =>
  sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), name);

it('a connection may have sixteen requests under way, however many it sends at once', async () => {
  const socket = await openSocket();
  const messages = [{ role: 'user', content: 'hi' }];
  const body = JSON.stringify({ model: endless, stream: true, messages });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
  const one = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  socket.write(one.repeat(16));
  await expect.poll(() => metric('millrace_requests_open')).toBe(16);
  // Another connection is not kept from anything by this one, and tells when these have come.
  socket.write(one.repeat(30));
  await expect.poll(() => socket.bytesWritten).toBe(one.length * 46);
  expect((await call(`${fleet.url}/v1/models`)).status).toBe(200);
  expect(await metric('millrace_requests_open')).toBe(16);
  socket.destroy();
  await expect.poll(() => metric('millrace_requests_open')).toBe(0);
});

it('what is too many is told so, behind the answers before it', async () => {
  const socket = await openSocket();
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  const ended = once(socket, 'close');
  socket.write('GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(40));
  await ended;
  expect(text.match(/HTTP\/1\.1 200 /g)).toHaveLength(16);
  expect(text).toContain('HTTP/1.1 429 ');
  expect(text).toContain('too_many_requests_on_connection');
});
