import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn, type ChildProcess } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Queue, Worker } from 'bullmq';
import {
  checkRedis,
  connectRedis,
  parseRedisUrl,
  probeRedis,
  redactUrl,
  RedisRefused,
  retryDelayMs,
  unixSocketUrl,
  type ConnectionRole,
  type Redis,
} from './redis.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace redis #'));
const socket = join(folder, 'redis.sock');
const url = unixSocketUrl(socket);
let port = 0;
let server: ChildProcess;
const open: Redis[] = [];

beforeAll(async () => {
  port = await freePort();
  server = await startRedis();
});
afterEach(() => {
  for (const redis of open.splice(0)) redis.disconnect();
});
afterAll(async () => {
  await stopRedis();
  rmSync(folder, { recursive: true });
});

async function startRedis(): Promise<ChildProcess> {
  const files = ['--unixsocket', socket, '--dir', folder, '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', ['--port', String(port), ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const chunk of child.stdout) {
    if (String(chunk).includes('Ready to accept connections')) break;
  }
  return child;
}

async function stopRedis(): Promise<void> {
  const gone = once(server, 'exit');
  server.kill();
  await gone;
}

async function freePort(): Promise<number> {
  const probe = createTcpServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port: free } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return free;
}

function connect(role: ConnectionRole = 'command', at = url): Redis {
  const redis = connectRedis(at, { name: 'test', role, longestBlockMs: 1000 });
  open.push(redis);
  return redis;
}

/** Does something to the one server that all tests share, and takes it back. */
async function configured(name: string, value: string, back: string, run: () => Promise<void>) {
  const redis = connect();
  await redis.config('SET', name, value);
  try {
    await run();
  } finally {
    await redis.config('SET', name, back);
  }
}

describe('a Redis URL', () => {
  test.each([
    ['redis://host', { host: 'host', port: 6379, tls: false, db: 0 }],
    [
      'redis://u:p%40@h:1/2',
      { host: 'h', port: 1, tls: false, username: 'u', password: 'p@', db: 2 },
    ],
    ['rediss://:p@[::1]:1', { host: '::1', port: 1, tls: true, password: 'p', db: 0 }],
    ['unix:///a/b.sock', { path: '/a/b.sock', db: 0 }],
    ['unix://u:p@/a%20b.sock?db=3', { path: '/a b.sock', username: 'u', password: 'p', db: 3 }],
    ['http://host', undefined],
    ['redis://', undefined],
    ['redis://host/x', undefined],
    ['unix://relative.sock', undefined],
    ['host:6379', undefined],
  ])('%s is read', (text, expected) => {
    expect(parseRedisUrl(text)).toEqual(expected);
  });

  test('is printed without its password', () => {
    expect(redactUrl('redis://u:secret@h:1/2')).toBe('redis://u:***@h:1/2');
    expect(redactUrl('unix://:secret@/s.sock?db=3')).toBe('unix://:***@/s.sock?db=3');
    expect(redactUrl('http://:secret@h')).not.toContain('secret');
  });
});

describe('a connection', () => {
  test('works over a socket whose path has blanks and #, and over TCP with a database', async () => {
    await connect('command', `redis://127.0.0.1:${port}/3`).set('in', '3');
    await expect(connect('command', `${url}?db=3`).get('in')).resolves.toBe('3');
    await expect(connect().get('in')).resolves.toBeNull();
  });

  test('carries its name', async () => {
    await expect(connect().client('GETNAME')).resolves.toBe('test');
  });

  test('comes back after a restart of Redis, with what waited meanwhile, and can subscribe again', async () => {
    const redis = connect();
    const subscriber = connect('subscriber');
    subscriber.on('ready', () => void subscriber.subscribe('news'));
    await redis.ping();
    await stopRedis();
    const waiting = redis.incr('after');
    server = await startRedis();
    await expect(waiting).resolves.toBe(1);
    const message = once(subscriber, 'message');
    // Subscribing is asynchronous: publish until one subscriber was reached.
    while ((await redis.publish('news', 'hello')) === 0);
    await expect(message).resolves.toEqual(['news', 'hello']);
  });

  // ioredis' own attempt would reject a promise that its caller does not have, if the connection is closed meanwhile.
  test('that comes back has no subscriptions before its owner makes them', async () => {
    const redis = connect();
    const subscriber = connect('subscriber');
    await subscriber.ssubscribe('news');
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await once(subscriber, 'ready');
    await subscriber.ping();
    expect(await redis.call('PUBSUB', 'SHARDNUMSUB', 'news')).toEqual(['news', 0]);
  });

  test('for commands that may be lost rejects those in flight and those of an outage, and sends none again', async () => {
    const redis = connect('best-effort');
    const next = (event: string) => new Promise<void>((resolve) => redis.once(event, resolve));
    await next('ready');
    server.kill('SIGSTOP');
    const inFlight = redis.incr('lossy').catch((error: Error) => error.message);
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
    expect(await inFlight).toContain('max retries');
    await expect(redis.incr('lossy')).rejects.toThrow('enableOfflineQueue');
    const back = next('ready');
    server = await startRedis();
    await back;
    await expect(redis.get('lossy')).resolves.toBeNull();
  });

  test('that is refused tells its errors to the listener and goes on trying', async () => {
    const errors: Error[] = [];
    const redis = connectRedis(`redis://127.0.0.1:${await freePort()}`, {
      name: 'test',
      role: 'command',
      onError: (error) => errors.push(error),
    });
    open.push(redis);
    const tried = () => new Promise((resolve) => redis.once('reconnecting', resolve));
    while (errors.length < 2) await tried();
    expect(errors[0]).toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('serves BullMQ: a job is added, run and seen', async () => {
    const queue = new Queue('jobs', { connection: connect() });
    const worker = new Worker('jobs', async ({ data }: { data: number }) => data + 1, {
      connection: connect('command'),
    });
    const completed = once(worker, 'completed');
    await queue.add('add', 41, { jobId: 'answer' });
    const [job, result] = (await completed) as [{ id: string }, number];
    expect([job.id, result]).toEqual(['answer', 42]);
    await worker.close();
    await queue.close();
  });

  test('replies in the same form to a named command and to a generic call', async () => {
    const redis = connect();
    await redis.xadd('stream', '1-1', 'a', 'b');
    const named = await redis.xread('STREAMS', 'stream', '0');
    await expect(redis.call('XREAD', 'STREAMS', 'stream', '0')).resolves.toEqual(named);
  });

  test('waits longer and longer, but at most a second', () => {
    for (const [attempt, most] of [
      [1, 50],
      [3, 200],
      [50, 1000],
    ] as const) {
      expect(retryDelayMs(attempt)).toBeGreaterThanOrEqual(most / 2);
      expect(retryDelayMs(attempt)).toBeLessThanOrEqual(most);
    }
  });
});

describe('the check at start', () => {
  test('tells what kind of server it is', async () => {
    const facts = await checkRedis(connect());
    expect(facts).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+/), warnings: [] });
  });

  test('refuses a Redis that may evict', async () => {
    await configured('maxmemory-policy', 'allkeys-lru', 'noeviction', async () => {
      await expect(checkRedis(connect())).rejects.toThrow(/must be noeviction.*it is allkeys-lru/);
      await expect(probeRedis(url, { timeoutMs: 2000 })).rejects.toThrow(RedisRefused);
    });
  });

  test('warns where the rights do not suffice to look', async () => {
    await connect().acl('SETUSER', 'blind', 'on', '>pw', '~*', '+@all', '-info');
    const facts = await probeRedis(url.replace('unix://', 'unix://blind:pw@'), { timeoutMs: 2000 });
    expect(facts.warnings).toHaveLength(2);
  });
});

describe('the probe at start says in one sentence that', () => {
  const probe = (at: string) => probeRedis(at, { timeoutMs: 1000 });

  test('nothing listens there', async () => {
    const free = await freePort();
    await expect(probe(`redis://:hunter2@127.0.0.1:${free}`)).rejects.toThrow(
      `redis://:***@127.0.0.1:${free}: nothing listens there`,
    );
    await expect(probe('unix:///nowhere/redis.sock')).rejects.toThrow(/there is no such socket/);
  });

  test('the password is wrong, missing or not asked for', async () => {
    const at = (login: string) => `redis://${login}127.0.0.1:${port}`;
    await configured('requirepass', 'right', '', async () => {
      await expect(probe(at(':hunter2@'))).rejects.toThrow(/:\*\*\*@.*wrong user name or password/);
      await expect(probe(at(''))).rejects.toThrow(/asks for a password/);
      await expect(probe(at(':right@'))).resolves.toMatchObject({ warnings: [] });
    });
  });

  test('what answers is not Redis, or nothing answers at all', async () => {
    const web: Server = createServer().listen(0, '127.0.0.1');
    const silent = createTcpServer().listen(0, '127.0.0.1');
    await Promise.all([once(web, 'listening'), once(silent, 'listening')]);
    const at = (target: { address(): unknown }) =>
      `redis://127.0.0.1:${(target.address() as AddressInfo).port}`;
    await expect(probe(at(web))).rejects.toThrow(/not Redis/);
    await expect(probe(at(silent))).rejects.toThrow(/no answer within 1000 ms/);
    web.close();
    silent.close();
  });

  test('TLS failed', async () => {
    const noCertificate = createTlsServer({}).listen(0, '127.0.0.1');
    await once(noCertificate, 'listening');
    const { port: tlsPort } = noCertificate.address() as AddressInfo;
    await expect(probe(`rediss://127.0.0.1:${tlsPort}`)).rejects.toThrow(/TLS failed \(ERR_SSL/);
    await expect(probe(`rediss://127.0.0.1:${port}`)).rejects.toThrow(/does it speak TLS/);
    noCertificate.close();
  });
});
