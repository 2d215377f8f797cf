import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { routeUpgrades, wantsSocket, whyNoSocket } from './upgrade.ts';

let server: Server;
/** Answers to /held, which wait for the test. */
let held: ServerResponse[];
let sockets: string[];

beforeEach(async () => {
  held = [];
  sockets = [];
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => (body += part));
    request.on('end', () => {
      if (request.url === '/held') held.push(response);
      else response.end(`<${request.method} ${request.url} ${body}>`);
    });
  });
  routeUpgrades(server, 'connection').on('upgrade', (request, socket: Socket) => {
    sockets.push(String(request.url));
    socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const upgrade = (to: string) =>
  `Host: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${to}\r\nHTTP2-Settings: AAMAAABk\r\n`;
const get = (path: string, to = 'h2c') => `GET ${path} HTTP/1.1\r\n${upgrade(to)}\r\n`;
const post = (path: string, to = 'h2c') =>
  `POST ${path} HTTP/1.1\r\n${upgrade(to)}Content-Length: 5\r\n\r\nhello`;
const chunked = (path: string, to = 'h2c') =>
  `POST ${path} HTTP/1.1\r\n${upgrade(to)}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`;
const plain = (path: string) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;

function open() {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  return {
    socket,
    text: () => text,
    answers: () => [...text.matchAll(/<(.*?)>/g)].map(([, answer]) => answer?.trim()),
  };
}

test.each([
  ['at once', 0],
  ['in pieces of 7 bytes', 7],
  ['in pieces of 61 bytes', 61],
])('requests with upgrades that come %s are all served in their order', async (_how, size) => {
  const { socket, answers } = open();
  const bytes = [
    get('/1'),
    post('/2', 'TLS/1.0'),
    chunked('/3', 'foo'),
    plain('/4'),
    post('/5', 'websocket'),
    get('/6', 'foo/2, h2c'),
    plain('/7'),
  ].join('');
  if (size === 0) socket.write(bytes);
  else {
    for (let at = 0; at < bytes.length; at += size) {
      socket.write(bytes.slice(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const all = [
    'GET /1',
    'POST /2 hello',
    'POST /3 hello',
    'GET /4',
    'POST /5 hello',
    'GET /6',
    'GET /7',
  ];
  await expect.poll(answers).toEqual(all);
  socket.destroy();
  expect(sockets).toEqual([]);
});

test('a request with an upgrade waits for the answers before it, and is served behind them', async () => {
  const { socket, answers } = open();
  socket.write(plain('/held') + plain('/held') + post('/1') + get('/2'));
  await expect.poll(() => held.length).toBe(2);
  expect(answers()).toEqual([]);
  held[1]?.end('<second>');
  held[0]?.end('<first>');
  await expect.poll(answers).toEqual(['first', 'second', 'POST /1 hello', 'GET /2']);
  socket.destroy();
});

test('a request with an upgrade may take longer than a connection may be idle after the answer before', async () => {
  server.keepAliveTimeout = 20;
  server.keepAliveTimeoutBuffer = 0;
  const { socket, answers } = open();
  const post = `POST /held HTTP/1.1\r\n${upgrade('h2c')}Content-Length: 1\r\n\r\nx`;
  socket.write(plain('/held') + post);
  await expect.poll(() => held.length).toBe(1);
  held[0]?.end('<first>');
  await expect.poll(() => held.length).toBe(2);
  const isIdle = new Promise((resolve) => setTimeout(resolve, 100));
  await Promise.race([isIdle, once(socket, 'close')]);
  held[1]?.end('<second>');
  await expect.poll(answers).toEqual(['first', 'second']);
  socket.destroy();
});

test.each([
  ['a length', 'Content-Length: 5\r\n\r\nhello'],
  ['chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
])('a body with %s behind a thousand headers stays a body', async (_what, rest) => {
  const { socket, answers } = open();
  const many = 'a:\r\n'.repeat(1100);
  socket.write(`POST /1 HTTP/1.1\r\n${upgrade('h2c')}${many}${rest}${get('/2')}`);
  await expect.poll(answers).toEqual(['POST /1 hello', 'GET /2']);
  socket.destroy();
});

test('a WebSocket opens behind the answers before it', async () => {
  const { socket, text } = open();
  socket.write(plain('/held') + get('/v1/ws', 'websocket'));
  await expect.poll(() => held.length).toBe(1);
  // One turn more than the upgrade needs.
  await new Promise((resolve) => setImmediate(resolve));
  expect(sockets).toEqual([]);
  held[0]?.end('<first>');
  await once(socket, 'close');
  expect(sockets).toEqual(['/v1/ws']);
  expect(text()).toMatch(/<first>HTTP\/1\.1 101 /);
});

test('a connection serves many such requests, one after the other, and holds no more for it', async () => {
  const { socket, answers } = open();
  await once(server, 'connection');
  const warnings: Error[] = [];
  const warn = (warning: Error) => void warnings.push(warning);
  process.on('warning', warn);
  for (let number = 1; number <= 30; number++) {
    socket.write(post(`/${number}`));
    await expect.poll(() => answers().length).toBe(number);
  }
  process.off('warning', warn);
  expect(warnings).toEqual([]);
  socket.destroy();
});

test.each([
  ['a reset', (socket: Socket) => socket.resetAndDestroy()],
  ['an orderly end', (socket: Socket) => socket.destroy()],
])(
  'a client that leaves by %s while its request waits for an answer before it is let go',
  async (_how, leave) => {
    const { socket } = open();
    socket.write(plain('/held') + get('/1'));
    await expect.poll(() => held.length).toBe(1);
    leave(socket);
    await expect.poll(() => held[0]?.destroyed).toBe(true);
  },
);

test('a WebSocket is opened where one is offered, and only with GET', () => {
  const asked = (method: string, url: string, to: string) =>
    wantsSocket({ method, url, headers: { upgrade: to } });
  expect(asked('GET', '/v1/ws', 'websocket')).toBe(true);
  expect(asked('GET', '/v1/ws/?a=1', 'foo, WebSocket')).toBe(true);
  expect(asked('GET', '/v1/models', 'websocket')).toBe(false);
  expect(asked('POST', '/v1/ws', 'websocket')).toBe(false);
  expect(asked('GET', '/v1/ws', 'h2c')).toBe(false);
});

test.each([
  [{ httpVersion: '1.0' }, 400],
  [{ version: '8' }, 426],
  [{ version: undefined }, 426],
  [{ key: undefined }, 400],
  [{ key: 'short' }, 400],
  [{}, undefined],
])('a handshake with %j is answered with %s', (odd, status) => {
  const { httpVersion, version, key } = {
    httpVersion: '1.1',
    version: '13',
    key: 'AAAAAAAAAAAAAAAAAAAAAA==',
    ...odd,
  };
  const headers = { 'sec-websocket-version': version, 'sec-websocket-key': key };
  expect(whyNoSocket({ httpVersion, headers })?.status).toBe(status);
});
