import { createServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer } from 'node:net';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { makeServer } from '../../../../../test/kit/certificates.ts';
import { ask, listen, startPool, until } from './pool.fixture.ts';
import { readProxy } from './tunnel.ts';

const { authority, server } = makeServer();

/** A proxy that lets through, and remembers what it was asked. */
function startProxy(asked: string[]) {
  const proxy = createServer();
  proxy.on('connect', (request, socket: Socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization'] ?? '-'}`);
    const [host, port] = String(request.url).split(':');
    const far = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      far.pipe(socket).pipe(far);
    });
    for (const one of [far, socket]) one.on('error', () => far.destroy());
  });
  return listen(proxy);
}

test('https and http go through the tunnel, with the login', async () => {
  const asked: string[] = [];
  await using proxy = await startProxy(asked);
  await using plain = await listen(createServer((_, response) => response.end('plain')));
  await using secure = await listen(
    createHttpsServer(server, (_, response) => response.end('tls')),
  );
  const by = readProxy(`http://me:p%40ss@127.0.0.1:${proxy.port}/`);
  using one = startPool({ ...plain, proxy: by });
  using two = startPool({ ...secure, proxy: by, ca: authority.cert });
  expect(await ask(one).outcome).toBe('200 plain');
  expect(await ask(one).outcome).toBe('200 plain');
  expect(await ask(two).outcome).toBe('200 tls');
  const login = `Basic ${Buffer.from('me:p@ss').toString('base64')}`;
  expect(asked).toEqual([`127.0.0.1:${plain.port} ${login}`, `127.0.0.1:${secure.port} ${login}`]);
});

describe('a proxy that', () => {
  const cases: [what: string, answer: (socket: Socket) => void, outcome: RegExp][] = [
    [
      'wants a login',
      (socket) => socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'),
      /^upstream_unreachable: The proxy 127.0.0.1:\d+ gave no way to the provider \(status 407: its login is missing or wrong\)\.$/,
    ],
    [
      'forbids it',
      (socket) => socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno'),
      /^upstream_unreachable: The proxy .*\(status 403\)/,
    ],
    [
      'cannot reach the provider',
      (socket) => socket.end('HTTP/1.0 502 Bad Gateway\r\n\r\n'),
      /^upstream_unreachable: The proxy .*\(status 502\)/,
    ],
    [
      'hangs up',
      (socket) => socket.end(),
      /^upstream_unreachable: The proxy .*(it closed the connection|ECONNRESET)/,
    ],
    ['cuts', (socket) => socket.resetAndDestroy(), /^upstream_unreachable: The proxy .*ECONNRESET/],
    [
      'speaks something else',
      (socket) => socket.write('SSH-2.0-OpenSSH\r\n\r\n'),
      /^upstream_unreachable: The proxy .*does not speak HTTP/,
    ],
    [
      'never ends its answer',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(20_000)}`),
      /^upstream_unreachable: The proxy .*no end/,
    ],
    [
      'says nothing',
      () => {},
      /^upstream_connect_timeout: The proxy 127.0.0.1:\d+ did not answer in time: the tunnel/,
    ],
  ];
  test.each(cases)('%s is named, without its password', async (_, answer, expected) => {
    await using at = await listen(
      createTcpServer((socket) => socket.once('data', () => answer(socket)).resume()),
    );
    const proxy = readProxy(`http://me:secret@127.0.0.1:${at.port}/`);
    using pool = startPool({ port: 9, proxy, connectTimeoutMs: 200 });
    const outcome = await ask(pool).outcome;
    expect(outcome).toMatch(expected);
    expect(outcome).not.toContain('secret');
    await until(() => at.open().length === 0);
  });
});

test('a proxy that is not there is named', async () => {
  const gone = await listen(createTcpServer());
  await gone[Symbol.asyncDispose]();
  using pool = startPool({ port: 9, proxy: { host: '127.0.0.1', port: gone.port } });
  expect(await ask(pool).outcome).toBe(
    `upstream_unreachable: The proxy 127.0.0.1:${gone.port} could not be reached (ECONNREFUSED).`,
  );
});
