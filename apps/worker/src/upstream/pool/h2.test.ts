import { constants, createSecureServer } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream, SecureServerOptions } from 'node:http2';
import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { makeServer } from '../../../../../test/kit/certificates.ts';
import { callUpstream } from '../call.ts';
import { ask, listen, startPool, until } from './pool.fixture.ts';
import type { TestPool } from './pool.fixture.ts';

const { authority, server } = makeServer();
const ca = authority.cert;

/** Answers at once, but keeps the streams for which `hold` says so. */
async function provider(
  options: SecureServerOptions = {},
  hold: (path: string) => boolean = () => false,
) {
  const held: ServerHttp2Stream[] = [];
  const sessions: ServerHttp2Session[] = [];
  const http2 = createSecureServer({ ...server, allowHTTP1: true, ...options });
  http2.on('session', (session) => sessions.push(session));
  http2.on('request', (request, response) => {
    if (request.httpVersion === '1.1') response.end('one');
  });
  http2.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.resume();
    if (hold(String(headers[':path']))) held.push(stream);
    else answer(stream, 'two');
  });
  return { held, sessions, at: await listen(http2) };
}

function answer(stream: ServerHttp2Stream | undefined, text: string): void {
  stream?.respond({ ':status': 200 });
  stream?.end(text);
}

const isHeld = (path: string) => path === '/hold';

test('speaks it only where it is asked to, and where the provider does', async () => {
  const { at } = await provider();
  await using _ = at;
  using off = startPool({ ...at, ca });
  using on = startPool({ ...at, ca, http2: true });
  expect(await ask(off).outcome).toBe('200 one');
  expect(await ask(on).outcome).toBe('200 two');
  expect([...off.events, ...on.events].map(({ protocol }) => protocol)).toEqual(['h1', 'h2']);
});

test('many requests share one connection', async () => {
  const { at, held } = await provider({}, isHeld);
  await using _ = at;
  using pool = startPool({ ...at, ca, http2: true, warm: 1 });
  pool.warm();
  await until(() => pool.stats().warm === 1);
  const all = Array.from({ length: 50 }, () => ask(pool, '/hold').outcome);
  await until(() => held.length === 50);
  expect(pool.stats()).toMatchObject({ size: 1, active: 1, connects: 1 });
  for (const stream of held) answer(stream, 'held');
  expect(new Set(await Promise.all(all))).toEqual(new Set(['200 held']));
  expect(pool.stats()).toMatchObject({ connects: 1, requests: 50 });
});

test('no more streams than the provider allows: then another connection, then the line', async () => {
  const { at, held } = await provider({ settings: { maxConcurrentStreams: 2 } }, isHeld);
  await using _ = at;
  using pool = startPool({ ...at, ca, http2: true, connections: 2 });
  const all = Array.from({ length: 5 }, () => ask(pool, '/hold').outcome);
  await until(() => held.length === 4);
  expect(pool.stats()).toMatchObject({ size: 2, active: 2, waiting: 1 });
  answer(held[0], 'first');
  await until(() => held.length === 5);
  for (const stream of held.slice(1)) answer(stream, 'rest');
  expect((await Promise.all(all)).sort()).toEqual(['200 first', ...Array(4).fill('200 rest')]);
});

test('an aborted request ends its stream and leaves the connection to the others', async () => {
  const { at, held } = await provider({}, isHeld);
  await using _ = at;
  using pool = startPool({ ...at, ca, http2: true });
  const gone = ask(pool, '/hold');
  await until(() => held.length === 1);
  gone.call.abort();
  await until(() => held[0]?.closed === true);
  expect(held[0]?.rstCode).toBe(constants.NGHTTP2_CANCEL);
  expect(await ask(pool).outcome).toBe('200 two');
  expect(pool.stats()).toMatchObject({ connects: 1, size: 1 });
});

describe('a stream that the provider resets', () => {
  test.each([
    ['NGHTTP2_INTERNAL_ERROR', /^upstream_reset: .*\(HTTP\/2 INTERNAL_ERROR\)/],
    ['NGHTTP2_CANCEL', /^upstream_reset: .*\(HTTP\/2 CANCEL\)/],
    ['NGHTTP2_ENHANCE_YOUR_CALM', /^upstream_overloaded: .*\(HTTP\/2 ENHANCE_YOUR_CALM\)/],
  ] as const)('with %s', async (code, expected) => {
    const { at, held } = await provider({}, isHeld);
    await using _ = at;
    using pool = startPool({ ...at, ca, http2: true });
    const early = ask(pool, '/hold');
    const late = ask(pool, '/hold');
    await until(() => held.length === 2);
    held[1]?.respond({ ':status': 200 });
    held[1]?.write('half');
    expect(await late.head).toBe(200);
    for (const stream of held) {
      // Node would end the answer in order before it resets the stream.
      stream.end = () => stream;
      stream.close(constants[code]);
    }
    expect(await early.outcome).toMatch(expected);
    expect(await late.outcome).toMatch(expected);
    expect(await ask(pool).outcome).toBe('200 two');
    expect(pool.stats().connects).toBe(1);
  });

  test('because it refuses it is sent again, but not for ever', async () => {
    let refusals = 1;
    const { at, held } = await provider({}, (path) => path === '/never' || refusals-- > 0);
    await using _ = at;
    using pool = startPool({ ...at, ca, http2: true });
    const refuse = setInterval(() => held.shift()?.close(constants.NGHTTP2_REFUSED_STREAM), 2);
    expect(await ask(pool).outcome).toBe('200 two');
    expect(await ask(pool, '/never').outcome).toMatch(/^upstream_overloaded: .*REFUSED_STREAM/);
    clearInterval(refuse);
  });
});

describe('GOAWAY', () => {
  test('lets the streams that it names finish, and sends new ones elsewhere', async () => {
    const { at, held, sessions } = await provider({}, isHeld);
    await using _ = at;
    using pool = startPool({ ...at, ca, http2: true });
    const old = ask(pool, '/hold');
    await until(() => held.length === 1);
    sessions[0]?.goaway(constants.NGHTTP2_NO_ERROR);
    await until(() => pool.stats().size === 1);
    while (pool.stats().connects === 1) expect(await ask(pool).outcome).toBe('200 two');
    answer(held[0], 'late');
    expect(await old.outcome).toBe('200 late');
  });

  test('on an idle connection costs no request', async () => {
    const { at, sessions } = await provider();
    await using _ = at;
    using pool = startPool({ ...at, ca, http2: true, warm: 1 });
    pool.warm();
    for (let i = 0; i < 10; i++) {
      expect(await ask(pool).outcome).toBe('200 two');
      for (const session of sessions.splice(0)) session.goaway(constants.NGHTTP2_NO_ERROR);
    }
  });
});

test('a connection that breaks fails what it carries as a reset', async () => {
  const { at, held } = await provider({}, isHeld);
  await using _ = at;
  using pool = startPool({ ...at, ca, http2: true });
  const all = [ask(pool, '/hold').outcome, ask(pool, '/hold').outcome];
  await until(() => held.length === 2);
  for (const socket of at.open()) socket.destroy();
  for (const outcome of await Promise.all(all)) expect(outcome).toMatch(/^upstream_reset: /);
  await until(() => pool.stats().size === 0);
});

describe('one connection that is lost is told of once, as a loss of its provider', () => {
  const path = '/hold';
  /** How each of so many requests fails: as a loss, or as the echo of one. */
  function fail(pool: TestPool, count: number): Promise<string[]> {
    const request = { path, headers: {}, body: 'hi' };
    const one = () =>
      new Promise<string>((resolve) =>
        callUpstream(pool, request, {
          onHead() {},
          onData() {},
          onEnd: () => resolve('end'),
          onFault: ({ code, isEcho }) => resolve(`${code}${isEcho ? ' echo' : ''}`),
        }),
      );
    return Promise.all(Array.from({ length: count }, one));
  }

  test('with all its streams, also where it had served', async () => {
    const { at, held } = await provider({}, isHeld);
    await using _ = at;
    using pool = startPool({ ...at, ca, http2: true });
    expect(await ask(pool).outcome).toBe('200 two');
    const all = fail(pool, 5);
    await until(() => held.length === 5);
    for (const socket of at.open()) socket.destroy();
    const told = (await all).sort();
    expect(told.filter((one) => !one.endsWith('echo'))).toHaveLength(1);
    expect(new Set(told.map((one) => one.split(' ')[0]))).toEqual(new Set(['upstream_reset']));
  });

  test('but streams that it resets are told of one by one', async () => {
    const { at, held } = await provider({}, isHeld);
    await using _ = at;
    using pool = startPool({ ...at, ca, http2: true });
    const all = fail(pool, 3);
    await until(() => held.length === 3);
    for (const stream of held) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    expect(await all).toEqual(Array(3).fill('upstream_reset'));
  });

  test('with all that waited for it', async () => {
    await using at = await listen(createServer((socket) => socket.destroy()));
    using pool = startPool({ ...at, ca, http2: true });
    const told = await fail(pool, 20);
    expect(told.filter((one) => !one.endsWith('echo'))).toHaveLength(at.accepted.length);
    expect(at.accepted.length).toBeLessThan(20);
  });
});

test('a kept connection that breaks under a request was stale, a fresh one is reset', async () => {
  const { at } = await provider({}, (path) => {
    if (isHeld(path)) for (const socket of at.open()) socket.destroy();
    return isHeld(path);
  });
  await using _ = at;
  using pool = startPool({ ...at, ca, http2: true });
  expect(await ask(pool).outcome).toBe('200 two');
  expect(await ask(pool, '/hold').outcome).toMatch(/^upstream_connection_stale: /);
  expect(await ask(pool, '/hold').outcome).toMatch(/^upstream_reset: /);
});

test('close ends all streams', async () => {
  const { at, held } = await provider({}, isHeld);
  await using _ = at;
  const pool = startPool({ ...at, ca, http2: true });
  const running = ask(pool, '/hold');
  await until(() => held.length === 1);
  pool.close();
  expect(await running.outcome).toMatch(/^upstream_/);
  await until(() => at.open().length === 0);
});
