import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis } from '@millrace/shared/store/redis';
import type { Redis } from '@millrace/shared/store/redis';

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
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const files = ['--dir', dir, '--unixsocket', socket, '--port', '0'];
    const durable = ['--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];
    child = spawn('redis-server', [...files, ...durable, ...extraArgs], { stdio: 'ignore' });
    // Rejects with 'error' when there is no redis-server at all.
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`redis-server ended before it served (exit code ${code})`);
    });
    const probe = connectRedis(url, { name: 'probe', role: 'command' });
    try {
      // The connection tries until the server listens and has loaded its files.
      await Promise.race([probe.ping(), failed]);
    } finally {
      probe.disconnect();
      failed.catch(() => {});
    }
  }

  async function kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
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
