import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from './fixtures/harness.ts';
import { pingRedis, shutdownRedis } from './redis-socket.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-socket-'));
  path = join(folder, 'redis.sock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const startRedis = () =>
  spawn('redis-server', ['--port', '0', '--unixsocket', path, '--dir', folder, '--save', ''], {
    stdio: 'ignore',
  });

/** What answers every command with that text, or with nothing. */
async function startFake(text: string) {
  const server = createServer((socket) => {
    socket.on('data', () => {
      // In two pieces: a reply may be cut anywhere.
      socket.write(text.slice(0, 3));
      setImmediate(() => socket.write(text.slice(3)));
    });
    socket.on('error', () => undefined);
  }).listen(path);
  await once(server, 'listening');
  return server;
}

describe('a Redis on a socket', () => {
  test('that serves is ready, and ends when it is shut down', async () => {
    const child = startRedis();
    const gone = once(child, 'exit');
    await until(async () => (await pingRedis(path, 2000)).kind === 'ready');
    expect(await shutdownRedis(path, 2000)).toBe('stopped');
    expect(await gone).toEqual([0, null]);
    expect(await shutdownRedis(path, 2000)).toBe('nothing there');
  });

  test('that is not there gives no answer', async () => {
    expect(await pingRedis(path, 2000)).toEqual({ kind: 'no answer' });
  });

  test('that hangs gives no answer in time, and is still there after a shutdown', async () => {
    const server = await startFake('');
    expect(await pingRedis(path, 50)).toEqual({ kind: 'no answer' });
    expect(await shutdownRedis(path, 50)).toBe('still there');
    server.close();
  });

  test('that loads its data is told apart from one that refuses', async () => {
    const loading = await startFake('-LOADING Redis is loading the dataset in memory\r\n');
    expect(await pingRedis(path, 2000)).toEqual({ kind: 'loading' });
    loading.close();
    await once(loading, 'close');
    const closed = await startFake('-NOAUTH Authentication required.\r\n');
    expect(await pingRedis(path, 2000)).toEqual({
      kind: 'refused',
      message: 'NOAUTH Authentication required.',
    });
    closed.close();
  });
});
