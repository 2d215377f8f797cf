import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { ask, listen, startPool, until } from './pool.fixture.ts';

/** Answers `/` at once; keeps `/hold` until told. */
function holding() {
  const held: ServerResponse[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    request.resume();
    request.on('end', () => (request.url === '/hold' ? held.push(response) : response.end('ok')));
  });
  server.keepAliveTimeout = 0;
  return { server, held };
}

describe('demand', () => {
  test('opens connections up to the bound, and the next request waits in its turn', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    using pool = startPool({ ...at, connections: 2 });
    const first = [ask(pool, '/hold')];
    expect(pool.isFull()).toBe(false);
    first.push(ask(pool, '/hold'));
    // Already while they are being opened.
    expect(pool.isFull()).toBe(true);
    await until(() => held.length === 2);
    const order: number[] = [];
    const late = [1, 2, 3].map((number) =>
      ask(pool).outcome.then((outcome) => {
        order.push(number);
        return outcome;
      }),
    );
    expect(pool.stats()).toMatchObject({ size: 2, active: 2, waiting: 3, connecting: 0 });
    expect(pool.look(1)).toEqual([{ state: 'active', requests: 0, ageMs: expect.any(Number) }]);
    held[0]?.end('held');
    expect(await first[0]?.outcome).toBe('200 held');
    expect(await Promise.all(late)).toEqual(['200 ok', '200 ok', '200 ok']);
    expect(order).toEqual([1, 2, 3]);
    expect(at.accepted).toHaveLength(2);
    expect(pool.isFull()).toBe(false);
    held[1]?.end();
    await first[1]?.outcome;
    await until(() => pool.stats().idle === 2);
    const looked = pool.look(10);
    expect(looked).toHaveLength(2);
    expect(looked.reduce((sum, { requests }) => sum + requests, 0)).toBe(5);
    for (const { state, idleMs, ageMs } of looked) {
      expect(state).toBe('idle');
      expect(idleMs).toBeLessThanOrEqual(ageMs);
    }
    const { requests, connects, waited, reuseRate } = pool.stats();
    expect({ requests, connects, waited: waited.count }).toEqual({
      requests: 5,
      connects: 2,
      waited: 5,
    });
    expect(waited.maxMs).toBeGreaterThan(0);
    expect(reuseRate).toBeCloseTo(1 - 2 / 5);
  });

  test('is full also by the room that is kept for requests to come', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    using pool = startPool({ ...at, connections: 2 });
    const first = pool.reserve();
    expect(pool.isFull()).toBe(false);
    const second = pool.reserve();
    expect(pool.isFull()).toBe(true);
    second();
    second();
    expect(pool.isFull()).toBe(false);
    // One that is free counts as one that may be opened.
    const asked = [ask(pool, '/hold'), ask(pool, '/hold')];
    await until(() => held.length === 2);
    expect(pool.isFull()).toBe(true);
    held[0]?.end();
    await asked[0]?.outcome;
    await until(() => pool.stats().active === 1);
    expect(pool.isFull()).toBe(true);
    first();
    expect(pool.isFull()).toBe(false);
    held[1]?.end();
    await asked[1]?.outcome;
  });

  test('takes the connection that was used last, so that the others idle out', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    using pool = startPool({ ...at, idleTimeoutMs: 300, warm: 1 });
    const burst = [1, 2, 3].map(() => ask(pool, '/hold').outcome);
    await until(() => held.length === 3);
    for (const response of held) response.end();
    await Promise.all(burst);
    const ports = new Set<number | undefined>();
    server.on('request', (request) => ports.add(request.socket.remotePort));
    while (at.open().length > 1) {
      expect(await ask(pool).outcome).toBe('200 ok');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(ports.size).toBe(1);
    // Its own idle time passes as well, but it is the last one.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(pool.stats()).toMatchObject({ size: 1, idle: 1, closed: { idle: 2 } });
  });

  test('a connection past its life finishes what it has, and takes nothing new', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    using pool = startPool({ ...at, lifetimeMs: 100 });
    const old = ask(pool, '/hold');
    await until(() => held.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 120));
    held[0]?.end('late');
    expect(await old.outcome).toBe('200 late');
    expect(await ask(pool).outcome).toBe('200 ok');
    expect(at.accepted).toHaveLength(2);
    await until(() => pool.stats().closed.lifetime > 0);
    const { requestsPerConnection, lifetimeMs } = pool.stats();
    expect(requestsPerConnection).toMatchObject({ connections: 1, sum: 1, max: 1 });
    expect(lifetimeMs.max).toBeGreaterThanOrEqual(100);
  });
});

describe('a request that waits', () => {
  test('fails when its patience is over', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    using pool = startPool({ ...at, connections: 1, waitMs: 30 });
    const first = ask(pool, '/hold');
    await until(() => held.length === 1);
    expect(await ask(pool).outcome).toBe(
      'upstream_pool_exhausted: No connection to the provider was free within 30 ms.',
    );
    expect(pool.stats()).toMatchObject({ waitTimeouts: 1, waiting: 0 });
    held[0]?.end('ok');
    expect(await first.outcome).toBe('200 ok');
  });

  test('leaves the line at once when it is aborted', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    using pool = startPool({ ...at, connections: 1 });
    const first = ask(pool, '/hold');
    await until(() => held.length === 1);
    const second = ask(pool, '/never');
    const third = ask(pool);
    second.call.abort();
    expect(pool.stats().waiting).toBe(1);
    held[0]?.end('ok');
    expect(await first.outcome).toBe('200 ok');
    expect(await third.outcome).toBe('200 ok');
    expect(pool.stats()).toMatchObject({ requests: 3, size: 1 });
  });

  test('ends the connection that is being opened for it when it is aborted', async () => {
    // Accepts, and never says a word.
    await using at = await listen(createTcpServer((socket) => socket.resume()));
    using pool = startPool({
      ...at,
      proxy: { host: '127.0.0.1', port: at.port },
    });
    const { call } = ask(pool);
    await until(() => at.open().length === 1);
    expect(pool.stats()).toMatchObject({ connecting: 1, waiting: 1 });
    expect(pool.look(10)).toMatchObject([{ state: 'connecting', requests: 0 }]);
    call.abort();
    await until(() => at.open().length === 0);
    expect(pool.stats()).toMatchObject({ connecting: 0, waiting: 0, connectFailures: {} });
  });

  test('is not told of exhaustion while its own connection is being opened', async () => {
    await using at = await listen(createTcpServer());
    using pool = startPool({
      ...at,
      waitMs: 10,
      connectTimeoutMs: 150,
      proxy: { host: '127.0.0.1', port: at.port },
    });
    expect(await ask(pool).outcome).toMatch(/^upstream_connect_timeout: The proxy /);
  });
});

test('nothing keeps the process alive: not idle connections, and nothing after close', async () => {
  await using at = await listen(createServer((_, response) => response.end('ok')));
  const fixture = new URL('pool.fixture.ts', import.meta.url).href;
  const script = `
    import { ask, startPool, until } from ${JSON.stringify(fixture)};
    const pool = startPool({ port: ${at.port}, warm: 2, host: 'localhost' });
    pool.warm();
    console.log(await ask(pool).outcome);
    if (process.argv[1] === 'close') pool.close();
  `;
  for (const how of ['close', 'leave']) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, how]);
    let printed = '';
    child.stdout.on('data', (bytes) => (printed += String(bytes)));
    child.stderr.on('data', (bytes) => (printed += String(bytes)));
    const [code] = await once(child, 'exit');
    expect({ printed, code }).toEqual({ printed: '200 ok\n', code: 0 });
  }
});

describe('the end of a connection', () => {
  test('an abort closes the connection that carries the request', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    using pool = startPool(at);
    const { call } = ask(pool, '/hold');
    await until(() => held.length === 1);
    call.abort();
    await until(() => at.open().length === 0);
    await until(() => pool.stats().closed.aborted === 1);
    expect(pool.stats()).toMatchObject({ size: 0, active: 0 });
  });

  test('a reset on a kept connection is stale, on a fresh one a reset', async () => {
    let answers = 1;
    const server = createTcpServer((socket) =>
      socket.on('data', () => {
        answers -= 1;
        if (answers < 0) socket.resetAndDestroy();
        else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      }),
    );
    await using at = await listen(server);
    using pool = startPool(at);
    expect(await ask(pool).outcome).toBe('200 ok');
    expect(await ask(pool).outcome).toMatch(/^upstream_connection_stale: /);
    expect(await ask(pool).outcome).toMatch(/^upstream_reset: .*\(ECONNRESET\)$/);
    await until(() => pool.stats().closed.error === 2);
  });

  test('a goodbye on a kept connection is stale too, but not after a byte of the answer', async () => {
    const farewells = ['', 'HTTP/1.1 200 OK\r\n'];
    let asked = 0;
    const server = createTcpServer((socket) =>
      socket.on('data', () => {
        asked += 1;
        if (asked % 2 === 1) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        else socket.end(farewells.shift() ?? '');
      }),
    );
    await using at = await listen(server);
    using pool = startPool(at);
    expect(await ask(pool).outcome).toBe('200 ok');
    expect(await ask(pool).outcome).toMatch(/^upstream_connection_stale: /);
    expect(await ask(pool).outcome).toBe('200 ok');
    expect(await ask(pool).outcome).toMatch(/^upstream_reset: /);
  });

  test('a provider that hangs up before it is asked is a reset, though nothing was sent', async () => {
    await using at = await listen(createTcpServer((socket) => socket.end().resume()));
    using pool = startPool(at);
    expect(await ask(pool).outcome).toMatch(/^upstream_reset: /);
  });

  test('whatever a provider does to idle connections, each request has one clear end', async () => {
    // Keeps connections, in words; closes each a moment after its answer, in order or not.
    let turn = 0;
    const server = createTcpServer((socket) =>
      socket.on('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        turn += 1;
        const close = turn % 2 === 0 ? () => socket.end() : () => socket.resetAndDestroy();
        if (turn % 3 === 0) setImmediate(close);
        else setTimeout(close, turn % 3);
      }),
    );
    await using at = await listen(server);
    using pool = startPool({ ...at, connections: 4, warm: 1 });
    pool.warm();
    const ends = new Map<string, number>();
    const user = async () => {
      for (let i = 0; i < 100; i++) {
        const asked = ask(pool);
        if (i % 10 === 9) {
          setImmediate(() => asked.call.abort());
          await new Promise(setImmediate);
          continue;
        }
        const [end = ''] = (await asked.outcome).split(':');
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 8 }, user));
    const known = new Set(['200 ok', 'upstream_connection_stale', 'upstream_reset']);
    expect([...ends.keys()].filter((end) => !known.has(end))).toEqual([]);
    expect([...ends.values()].reduce((sum, count) => sum + count)).toBe(720);
    await until(() => pool.stats().active === 0);
    await until(() => pool.stats().size === at.open().length);
    const { requests, waiting, connecting, size, connects, closed } = pool.stats();
    expect({ requests, waiting, connecting }).toEqual({ requests: 800, waiting: 0, connecting: 0 });
    // The books agree: what was opened is open or was closed.
    expect(size + Object.values(closed).reduce((sum, count) => sum + count)).toBe(connects);
  });

  test('a provider that closes after every answer works, and is seen in the reuse rate', async () => {
    const server = createServer((_request, response) => {
      response.setHeader('connection', 'close');
      response.end('ok');
    });
    await using at = await listen(server);
    using pool = startPool({ ...at, warm: 1 });
    pool.warm();
    for (let i = 0; i < 20; i++) expect(await ask(pool).outcome).toBe('200 ok');
    const { requests, connects, reuseRate, requestsPerConnection } = pool.stats();
    expect(requests).toBe(20);
    // Each has its own, and one is kept ready.
    expect(connects).toBeLessThanOrEqual(22);
    expect(reuseRate).toBeLessThan(0.05);
    expect(requestsPerConnection.max).toBe(1);
  });

  test('a keep-alive time that the provider announces is kept to', async () => {
    const server = createServer((_request, response) => {
      response.setHeader('keep-alive', 'timeout=2');
      response.end('ok');
    });
    server.keepAliveTimeout = 60_000;
    await using at = await listen(server);
    using pool = startPool(at);
    await ask(pool).outcome;
    await until(() => pool.stats().closed.idle === 1);
    expect(pool.stats().size).toBe(0);
  });

  test('close ends everything at once', async () => {
    const { server, held } = holding();
    await using at = await listen(server);
    const pool = startPool({ ...at, connections: 2 });
    const running = [ask(pool, '/hold'), ask(pool, '/hold')];
    await until(() => held.length === 2);
    const waiting = ask(pool);
    pool.close();
    expect(await waiting.outcome).toMatch(/^upstream_unreachable: /);
    await Promise.all(running.map(({ outcome }) => outcome));
    await until(() => at.open().length === 0);
    expect(pool.stats()).toMatchObject({ size: 0, closed: { shutdown: 2 } });
    expect(await ask(pool).outcome).toMatch(/^upstream_unreachable: /);
  });
});
