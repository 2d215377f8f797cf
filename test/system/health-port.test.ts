import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createJob, follow } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { chunks } from '../kit/judge.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ workers: 0, models: { long: 'healthy:tokens=600,pace=50' } });
});
afterAll(() => fleet?.close());
afterEach(() => vi.unstubAllEnvs());

/** The next process that is started answers probes there. */
async function healthPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  vi.stubEnv('MILLRACE_HEALTH_PORT', String(port));
  return `http://127.0.0.1:${port}`;
}

const statusOf = async (url: string) => (await call(url)).status;

test('a worker is ready on its health port, not while Redis is away, and alive until the end of its drain', async () => {
  const proxy = await startRedisProxy(fleet.redis.url);
  try {
    const url = await healthPort();
    const worker = await fleet.addWorker(proxy.url);
    expect(jsonOf(await call(`${url}/readyz`))).toEqual({ status: 'ready', reasons: [] });

    proxy.cut();
    await expect.poll(() => statusOf(`${url}/readyz`)).toBe(503);
    expect(await statusOf(`${url}/healthz`)).toBe(200);
    proxy.mend();
    await expect.poll(() => statusOf(`${url}/readyz`), { timeout: 10_000 }).toBe(200);

    const reader = follow(fleet.url, await createJob(fleet.url, 'long'));
    await reader.until(chunks(3));
    const stopped = worker.stop('SIGTERM');
    await expect
      .poll(async () => jsonOf(await call(`${url}/readyz`)))
      .toEqual({ status: 'not_ready', reasons: ['this process is draining'] });
    expect(await statusOf(`${url}/healthz`)).toBe(200);
    fleet.hurry();
    await reader.ended;
    expect(await stopped).toBe(0);
  } finally {
    await proxy.close();
  }
});

test('a control plane answers probes on its health port without a token', async () => {
  const url = await healthPort();
  await fleet.addAdmin();
  expect(await statusOf(`${url}/readyz`)).toBe(200);
  expect(await statusOf(`${url}/healthz`)).toBe(200);
});
