import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Delivery } from '@millrace/shared/store/webhooks/port';
import { afterEach, expect, test } from 'vitest';
import { createSender } from './send.ts';
import type { Sender, SenderOptions } from './send.ts';

const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
const endings: (() => unknown)[] = [];
afterEach(() => Promise.all(endings.splice(0).map((end) => end())));

async function listen(answer: RequestListener): Promise<{ port: number; connections(): number }> {
  let connections = 0;
  const server = createServer(answer).on('connection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

function open(options: Partial<SenderOptions> = {}): Sender {
  const sender = createSender({ secret, allowPrivate: true, ...options });
  endings.push(sender.close);
  return sender;
}

const to = (url: string): Delivery => ({ id: 'msg_1', event: 'e', url, request: null, body: '{}' });
const going = new AbortController().signal;

test('an address that is not public gets no connection, whether it is named or written out', async () => {
  const { port, connections } = await listen((_, response) => response.end());
  const sender = open({ allowPrivate: false });
  for (const host of [
    'localhost',
    '127.0.0.1',
    '127.1',
    '0x7f000001',
    '[::ffff:127.0.0.1]',
    '[::1]',
    '0.0.0.0',
  ]) {
    expect(await sender.send(to(`http://${host}:${port}/`), going)).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/is a.* address: webhooks go to public addresses only/),
    });
  }
  expect(connections()).toBe(0);
  expect(await open().send(to(`http://localhost:${port}/`), going)).toMatchObject({
    kind: 'delivered',
  });
  expect(connections()).toBe(1);
});

test('an answer without end is read to a bound, and its status counts', async () => {
  let isClosed = false;
  const { port } = await listen((_, response) => {
    response.writeHead(500);
    const timer = setInterval(() => response.write('x'.repeat(1000)), 1);
    response.on('close', () => {
      clearInterval(timer);
      isClosed = true;
    });
  });
  const outcome = await open().send(to(`http://127.0.0.1:${port}/`), going);
  expect(outcome).toMatchObject({ kind: 'failed', status: 500 });
  expect(JSON.stringify(outcome).length).toBeLessThan(600);
  await expect.poll(() => isClosed).toBe(true);
});

test('a receiver that hangs fails when its time is over, and one that does not listen at once', async () => {
  const { port } = await listen(() => {});
  const sender = open({ timeoutMs: 100 });
  expect(await sender.send(to(`http://127.0.0.1:${port}/`), going)).toEqual({
    kind: 'failed',
    reason: 'the receiver did not answer within 0.1 s',
  });
  expect(await sender.send(to('http://127.0.0.1:1/'), going)).toMatchObject({
    kind: 'failed',
    reason: expect.stringContaining('ECONNREFUSED'),
  });
  const unknown = await sender.send(to('https://no-such-host.invalid/'), going);
  expect(unknown.kind).toBe('failed');
});

test('a receiver that hangs does not take the attempts of others', async () => {
  const hanging = await listen(() => {});
  const well = await listen((_, response) => response.end());
  const sender = open({ perOrigin: 1, timeoutMs: 200 });
  const first = sender.send(to(`http://127.0.0.1:${hanging.port}/`), going);
  const url = `http://127.0.0.1:${hanging.port}/`;
  const later = { ...to(url), request: 'req_0_1' };
  expect(await sender.send(later, going)).toMatchObject({ kind: 'postponed' });
  // An alert does not wait for the messages of clients.
  expect(await sender.send({ ...to(url), request: null }, going)).toMatchObject({ kind: 'failed' });
  expect(await sender.send(to(`http://127.0.0.1:${well.port}/`), going)).toMatchObject({
    kind: 'delivered',
  });
  expect(await first).toMatchObject({ kind: 'failed' });
});

test('a redirect is a failure that names where it leads, and a 410 ends the delivery', async () => {
  const { port } = await listen((request, response) => {
    const isMoved = request.url === '/moved';
    response.writeHead(isMoved ? 302 : 410, { location: 'http://10.0.0.1/' }).end();
  });
  const sender = open();
  expect(await sender.send(to(`http://127.0.0.1:${port}/moved`), going)).toMatchObject({
    kind: 'failed',
    status: 302,
    reason: 'the receiver answered 302, a redirect (http://10.0.0.1/); redirects are not followed',
  });
  expect(await sender.send(to(`http://127.0.0.1:${port}/`), going)).toMatchObject({
    kind: 'refused',
  });
});
