import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createKeepAlive, openSseWriter } from './sse-writer.ts';
import type { SseWriter } from './sse-writer.ts';

const keepAlive = createKeepAlive(60_000);
let server: Server;

beforeEach(async () => {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  vi.useRealTimers();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

/** A connection to a client that reads nothing yet. */
async function open(quiet = keepAlive): Promise<{
  connection: SseWriter;
  response: ServerResponse;
  incoming: Promise<IncomingMessage>;
  leave(): void;
}> {
  const { port } = server.address() as AddressInfo;
  const outgoing = request({ port, host: '127.0.0.1', agent: false }).on('error', () => {});
  outgoing.end();
  const incoming = once(outgoing, 'response').then(([head]) => head as IncomingMessage);
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse];
  const connection = openSseWriter({
    response,
    headers: () => ({}),
    limits: { readerBufferBytes: 64 * 1024, readerStallMs: 60_000 },
    keepAlive: quiet,
    onDrain: () => {},
    stalled: () => 'data: stalled\n\n',
  });
  return { connection, response, incoming, leave: () => outgoing.destroy() };
}

const large = `data: ${'x'.repeat(8 * 1024 * 1024)}\n\n`;
const done = 'data: [DONE]\n\n';

it('a writer sends nothing behind its last text, also while bytes wait before that', async () => {
  const { connection, response, incoming } = await open();
  connection.write(large);
  connection.end(done);
  expect([connection.ended, response.writableEnded]).toEqual([true, false]);
  connection.end('data: an error\n\n');
  expect(connection.write('data: more\n\n')).toBe(false);
  let text = '';
  for await (const part of (await incoming).setEncoding('utf8')) text += String(part);
  expect(text.slice(large.length)).toBe(done);
});

it('a writer has no timer after its client has left', async () => {
  const { connection, response, incoming, leave } = await open();
  connection.write('data: one\n\n');
  await incoming;
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  leave();
  await once(response, 'close');
  const before = vi.getTimerCount();
  connection.write(large);
  connection.end(done);
  expect(vi.getTimerCount()).toBe(before);
});

it('a writer sends keep-alives only from `begin` on, so that an error can still have its status', async () => {
  const quick = createKeepAlive(20);
  try {
    const { connection, response, incoming } = await open(quick);
    // Another connection gets its keep-alives meanwhile.
    const other = await open(quick);
    other.connection.begin();
    await other.incoming;
    expect([response.headersSent, connection.started]).toEqual([false, false]);
    connection.begin();
    const body = (await incoming).setEncoding('utf8');
    const [text] = (await once(body, 'data')) as [string];
    expect(text).toContain(': keep-alive');
    expect(quick.watched).toBe(2);
    connection.end('');
    expect(quick.watched).toBe(1);
    other.connection.end('');
    connection.begin();
    expect(quick.watched).toBe(0);
  } finally {
    quick.close();
  }
});
