import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { unixSocketUrl } from '@millrace/shared/config/redis-url';
import type { DataFolder } from './data-folder.ts';
import { pingRedis, shutdownRedis } from './redis-socket.ts';
import { StartFailed, type ProcessSpec } from './supervise.ts';

const run = promisify(execFile);

/** Milliseconds in which Redis has to end; it flushes its buffers and writes no snapshot. */
export const redisStopMs = 5000;
/** Milliseconds after which a leftover Redis that does not end is killed: its data is in the file already. */
const staleRedisStopMs = 2000;
/**
 * The share of the memory for Redis; the rest is for ingresses and workers, whose heaps grow with their
 * streams.
 */
const shareOfMemory = 1 / 4;
/** Milliseconds between two pings of a starting Redis. */
const askEveryMs = 20;
/**
 * Milliseconds to wait for one reply, which takes long if the append-only file is long; then the ping is
 * repeated.
 */
const answerMs = 60_000;

/** The first of redis-server and valkey-server on the PATH that is new enough. Throws StartFailed. */
export async function findRedisServer(): Promise<string> {
  const tooOld: string[] = [];
  for (const name of ['redis-server', 'valkey-server']) {
    const text = await run(name, ['--version']).then(
      ({ stdout }) => stdout,
      () => '',
    );
    const version = /\bv=(\d+\.\d+\S*)/.exec(text)?.[1];
    if (version === undefined) continue;
    if (Number.parseInt(version, 10) >= 7) return name;
    tooOld.push(`${name} ${version}`);
  }
  const found = tooOld.length > 0 ? `found ${tooOld.join(' and ')}` : 'found neither on the PATH';
  throw new StartFailed(
    `a redis-server or valkey-server >= 7.0 is needed (${found}): install one ` +
      '(apt-get install redis-server, dnf install valkey, brew install redis), or name a shared one with --redis URL',
    78,
  );
}

export function embeddedRedisUrl({ redis }: DataFolder): string {
  return unixSocketUrl(redis.socket);
}

/**
 * The private Redis of one data folder: on a socket that only this user can open, every write in the
 * append-only file, which is forced to disk each second.
 */
export function redisSpec(server: string, folder: DataFolder, env: NodeJS.ProcessEnv): ProcessSpec {
  const { socket, folder: dir, log, pidFile } = folder.redis;
  const settings: readonly (readonly [string, string])[] = [
    ['--port', '0'],
    ['--unixsocket', socket],
    ['--unixsocketperm', '700'],
    ['--dir', dir],
    ['--appendonly', 'yes'],
    ['--appendfsync', 'everysec'],
    // A stream's life is short: rewriting the file at the default 64 MB would fork every few seconds.
    ['--auto-aof-rewrite-min-size', '512mb'],
    ['--save', ''], // the append-only file has it all
    // A finished request is two hashes of up to 2 KB; packed as lists they take a quarter less memory.
    ['--hash-max-listpack-value', '2048'],
    ['--maxmemory-policy', 'noeviction'],
    ['--maxmemory', String(maxMemory())],
    ['--logfile', log],
    ['--pidfile', pidFile],
    ['--daemonize', 'no'],
  ];
  return {
    name: 'redis-server',
    command: () => [server, ...settings.flat()],
    cwd: folder.path,
    env,
    readyWhen: { kind: 'answer', ask: (signal) => untilItAnswers(folder, signal) },
  };
}

/**
 * Bytes that the embedded Redis may use: a part of the memory of the machine or the container, so that
 * finished streams and waiting requests leave enough for the other processes. New requests are refused
 * shortly before (`limits.queueMemory`); running streams may exceed that.
 */
function maxMemory(): number {
  const container = process.constrainedMemory();
  const memory = container > 0 ? Math.min(container, totalmem()) : totalmem();
  return Math.floor(memory * shareOfMemory);
}

/** Waits until Redis is ready. Rejects if it answers but cannot be used, or with the signal if it has died. */
async function untilItAnswers({ redis }: DataFolder, signal: AbortSignal): Promise<void> {
  for (;;) {
    const answer = await pingRedis(redis.socket, answerMs);
    if (answer.kind === 'ready') return;
    if (answer.kind === 'refused') throw new Error(`cannot be used: ${answer.message}`);
    await sleep(askEveryMs, undefined, { signal });
  }
}

/**
 * Ends the Redis of an earlier start that was killed, with its data complete, so that two never share an
 * append-only file. Throws StartFailed if it cannot be ended.
 */
export async function endStaleRedis(folder: DataFolder): Promise<'none' | 'ended'> {
  const { socket, pidFile } = folder.redis;
  const answer = await shutdownRedis(socket, staleRedisStopMs);
  const pid = readPid(pidFile);
  // The pid may belong to another process by now; a Redis has its socket in its command line.
  if (pid === undefined || !(await commandLine(pid)).includes(socket)) {
    return answer === 'stopped' ? 'ended' : 'none';
  }
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (await ends(pid, signal, staleRedisStopMs)) return 'ended';
  }
  throw new StartFailed(`the redis-server of an earlier start (process ${pid}) cannot be ended`, 1);
}

async function ends(pid: number, signal: NodeJS.Signals, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  try {
    process.kill(pid, signal);
    while (performance.now() < deadline) {
      await sleep(askEveryMs);
      // A process that is not reaped yet still has its pid, but no command line.
      if ((await commandLine(pid)) === '') return true;
    }
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

function readPid(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8').trim());
    return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Empty if there is no such process. */
async function commandLine(pid: number): Promise<string> {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    if (process.platform === 'linux') return '';
  }
  return run('ps', ['-o', 'args=', '-p', String(pid)]).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
}

/** The last lines of the server's log, for the error message if it could not start. */
export function lastWords({ redis }: DataFolder): string {
  try {
    return readFileSync(redis.log, 'utf8').trim().split('\n').slice(-3).join('\n');
  } catch {
    return '';
  }
}
