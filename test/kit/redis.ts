import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis } from '@millrace/shared/store/redis';
import type { Redis } from '@millrace/shared/store/redis';
import { spawnChild } from './child.ts';
import type { Child } from './child.ts';

/** A private Redis process on a unix socket, with its files in a temporary folder. */
export type TestRedis = {
  readonly url: string;
  readonly pid: number;
  /** A connection that is closed with the Redis. */
  connect(): Redis;
  /** Ends the process: SIGTERM saves first, SIGKILL does not. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same files and socket. */
  start(): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export async function startRedis(extraArgs: readonly string[] = []): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  const socket = join(dir, 'redis.sock');
  const url = `unix://${socket}`;
  const connections: Redis[] = [];
  let child: Child | undefined;

  async function start(): Promise<void> {
    const files = ['--dir', dir, '--unixsocket', socket, '--port', '0'];
    const durable = ['--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];
    child = spawnChild({
      name: 'redis-server',
      command: 'redis-server',
      args: [...files, ...durable, ...extraArgs],
      ignore: ['stdout', 'stderr'],
    });
    const probe = connectRedis(url, { name: 'probe', role: 'command' });
    try {
      // The connection retries until the server listens and has loaded its files.
      await child.whileItLives(probe.ping());
    } finally {
      probe.disconnect();
    }
  }

  async function kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await child?.stop(signal);
  }

  async function close(): Promise<void> {
    for (const connection of connections) connection.disconnect();
    await kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }

  try {
    await start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    url,
    get pid() {
      return child?.pid ?? 0;
    },
    connect() {
      const connection = connectRedis(url, { name: 'test', role: 'command' });
      connections.push(connection);
      return connection;
    },
    kill,
    start,
    close,
    [Symbol.asyncDispose]: close,
  };
}
