import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { longStandingMs, warmDelayMs } from './backoff.ts';
import { modelsRequest } from './keep-warm.ts';
import { ask, listen, poolConfig, startPool, until } from './pool.fixture.ts';
import { sweepIdle } from './sweep.ts';
import type { Connection } from './connection.ts';

const server = () => createServer((_request, response) => response.end('ok'));

test('warm connections are open before the first request, which opens none', async () => {
  await using at = await listen(server());
  using pool = startPool({ ...at, warm: 2 });
  pool.warm();
  await until(() => pool.stats().warm === 2);
  expect(await ask(pool).outcome).toBe('200 ok');
  expect(pool.events.map(({ inPath }) => inPath)).toEqual([false, false]);
  expect(pool.stats()).toMatchObject({ connects: 2, requests: 1, warm: 1, idle: 2 });
});

test('a cold connection is seen to be in the path of its request', async () => {
  await using at = await listen(server());
  using pool = startPool(at);
  await ask(pool).outcome;
  expect(pool.events).toMatchObject([{ inPath: true, tls: false, protocol: 'h1' }]);
});

test('a warm connection that is lost is replaced, one that served at once', async () => {
  await using at = await listen(server());
  using pool = startPool({ ...at, warm: 1 });
  pool.warm();
  await until(() => pool.stats().warm === 1);
  for (const socket of at.open()) socket.end();
  await until(() => pool.stats().connects === 2);
  expect(pool.stats().closed.peer).toBe(1);
  expect(await ask(pool).outcome).toBe('200 ok');
  for (const socket of at.open()) socket.end();
  await until(() => pool.stats().connects === 3);
});

test('a word that nobody asked for is a goodbye, though its sender does not close', async () => {
  await using at = await listen(
    createTcpServer((socket) => {
      if (at.accepted.length === 0) socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n');
    }),
  );
  using pool = startPool({ ...at, warm: 1 });
  pool.warm();
  await until(() => pool.stats().connects === 2);
  expect(pool.stats()).toMatchObject({ size: 1, warm: 1 });
});

test('a provider that hangs up on everybody is not stormed', async () => {
  await using at = await listen(createTcpServer((socket) => socket.end()));
  using pool = startPool({ ...at, warm: 4 });
  pool.warm();
  await new Promise((resolve) => setTimeout(resolve, 1200));
  // Four at the start; then, at the shortest delays there are, after 1, 2, 4, 8, … times 125 ms.
  expect(at.accepted.length).toBeGreaterThanOrEqual(4);
  expect(at.accepted.length).toBeLessThanOrEqual(6);
});

test('a provider that cannot be reached is asked again with pauses, and found when it is back', async () => {
  const first = await listen(server());
  const { port } = first;
  await first[Symbol.asyncDispose]();
  using pool = startPool({ port, warm: 1 });
  pool.warm();
  await until(() => (pool.stats().connectFailures.upstream_unreachable ?? 0) >= 2);
  const back = server().listen(port, '127.0.0.1');
  await until(() => pool.stats().warm === 1);
  expect(await ask(pool).outcome).toBe('200 ok');
  back.close();
});

test('the pauses grow up to half a minute, and have jitter', () => {
  expect([0, 1, 2, 3].map((losses) => warmDelayMs(losses, 1))).toEqual([0, 250, 500, 1000]);
  expect(warmDelayMs(1, 0)).toBe(125);
  expect(warmDelayMs(40, 1)).toBe(longStandingMs);
});

test('keepWarm asks for the models on idle warm connections before they idle out', async () => {
  const asked: string[] = [];
  const keys = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    response.end('{"data":[]}');
  });
  await using at = await listen(keys);
  const baseUrl = 'http://x/v1';
  const models = modelsRequest({ api: 'openai', baseUrl, apiKeys: ['sk-1'] });
  using pool = startPool({ ...at, warm: 1, idleTimeoutMs: 200, models });
  pool.warm();
  await until(() => asked.length >= 2);
  expect(asked[0]).toBe('GET /v1/models Bearer sk-1');
  await until(() => pool.stats().active === 0);
  expect(at.accepted).toHaveLength(1);
  expect(pool.stats().requests).toBe(0);
  expect(pool.stats().keepWarm).toBeGreaterThanOrEqual(2);
});

test('the models of a provider that speaks Messages are asked for in its way', () => {
  const request = modelsRequest({ api: 'anthropic', baseUrl: 'https://x', apiKeys: ['k'] });
  expect(request).toMatchObject({
    path: '/v1/models',
    headers: { 'x-api-key': 'k', 'anthropic-version': '2023-06-01' },
  });
});

test('idle connections end from the least recently used on, down to the warm ones', () => {
  const idle = (idleSince: number, more: Partial<Connection> = {}) =>
    ({ idleSince, openedAt: 0, active: 0, ...more }) as Connection;
  const free = [idle(0), idle(10, { active: 1 }), idle(20), idle(30)];
  const config = { ...poolConfig, warm: 2, idleTimeoutMs: 100, lifetimeMs: 1000 };
  expect(sweepIdle({ free, size: 4, config, now: 125 })).toEqual({
    close: [
      [free[0], 'idle'],
      [free[2], 'idle'],
    ],
    ask: [free[3]],
  });
  const old = sweepIdle({ free, size: 4, config, now: 1000 });
  expect(old.close.map(([, reason]) => reason)).toEqual(['lifetime', 'lifetime', 'lifetime']);
});

describe('a warm connection that dies while it waits', () => {
  /** Resets requests on connections that were opened before. */
  async function forgetting(isForgotten: (index: number) => boolean) {
    const at = await listen(
      createTcpServer((socket) => {
        socket.on('data', () => {
          if (isForgotten(at.accepted.indexOf(socket))) socket.resetAndDestroy();
          else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        });
      }),
    );
    return at;
  }

  async function warmPool(at: { port: number }, afterMs: number) {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const pool = startPool({ ...at, warm: 3 });
    pool.warm();
    await until(() => pool.stats().warm === 3);
    vi.advanceTimersByTime(afterMs);
    return pool;
  }

  test('was stale, and no other of its age is tried', async () => {
    await using at = await forgetting((index) => index < 3);
    using pool = await warmPool(at, 1000);
    expect(await ask(pool).outcome).toMatch(/^upstream_connection_stale: /);
    expect(await ask(pool).outcome).toBe('200 ok');
  });

  test('is a reset when it has only just been opened', async () => {
    await using at = await forgetting(() => true);
    using pool = await warmPool(at, 900);
    expect(await ask(pool).outcome).toMatch(/^upstream_reset: /);
  });

  test('is no excuse for a provider that resets everybody', async () => {
    await using at = await forgetting(() => true);
    using pool = await warmPool(at, 1000);
    expect(await ask(pool).outcome).toMatch(/^upstream_connection_stale: /);
    for (let i = 0; i < 5; i++) expect(await ask(pool).outcome).toMatch(/^upstream_reset: /);
  });
});
