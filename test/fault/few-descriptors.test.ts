import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';
import { ask } from '../kit/client.ts';

/* Processes that may open 64 file descriptors each, about half of which they need themselves. */

const long = 'healthy:tokens=100,pace=20';
const short = 'healthy:tokens=10,pace=20';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    descriptors: 64,
    models: { long, short },
  });
});
afterAll(() => fleet.close());

const scrape = async () => parsePrometheus((await call(`${fleet.url}/metrics`)).text);
const refusedConnections = async () =>
  sumOf(await scrape(), 'millrace_refusals_total', { reason: 'too_few_descriptors' });

/** A connection that says nothing; `closed` resolves when the ingress has ended it. */
async function silent(): Promise<{ socket: Socket; closed: Promise<unknown> }> {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  const closed = once(socket, 'close');
  socket.on('error', () => {});
  await Promise.race([once(socket, 'connect'), closed]);
  return { socket, closed };
}

test('silent connections beyond the limit are closed, and a stream beside them reaches its end', async () => {
  const reader = ask(fleet.url, 'long');
  await reader.until(({ events }) => events.length > 0);
  const crowd = await Promise.all(Array.from({ length: 100 }, silent));
  await Promise.race(crowd.map(({ closed }) => closed));
  expect(await reader.ended).toMatchObject({ how: 'complete' });
  expect(reader.events.at(-1)?.data).toBe('[DONE]');
  for (const { socket } of crowd) socket.destroy();
  await expect.poll(() => refusedConnections().catch(() => 0)).toBeGreaterThan(30);
  expect(fleet.ingresses[0]?.child.exitCode).toBeNull();
});

test('more requests than a worker may have connections wait for one another, and all are served', async () => {
  const socket = await openSocket(fleet.url);
  const isEnd = ({ type }: { type: string }) => type === 'done' || type === 'failed';
  for (let i = 0; i < 60; i++)
    socket.send({ type: 'create', body: chat('short', { stream: true }) });
  await expect.poll(() => socket.frames.filter(isEnd).length).toBe(60);
  const seen = socket.frames.filter(({ type }) => type === 'done');
  expect(seen).toHaveLength(60);
  // Each at its first attempt: none met a connection that could not be opened.
  expect(seen.map(({ data }) => data?.['attempts'])).toEqual(Array.from({ length: 60 }, () => 1));
  expect(fleet.workers[0]?.child.exitCode).toBeNull();
  await socket.close();
});
