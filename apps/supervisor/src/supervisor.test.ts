import { copyFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectRedis, unixSocketUrl } from '@millrace/shared/store/redis';
import { Bench, isAlive, kill, until, type Started } from './fixtures/harness.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const pidAt = async (url: string | undefined) => Number(await (await fetch(url ?? '')).text());
const servesAgain = (url: string | undefined, before: number) =>
  until(async () => {
    const pid = await pidAt(url).catch(() => before);
    return pid !== before;
  });

/** The first of some free ports in a row, below the range from which the system assigns ports. */
async function freePorts(count: number): Promise<number> {
  for (let port = 20_000 + (process.pid % 10_000); ; port += count) {
    const probes = Array.from({ length: count }, (_, index) =>
      createServer().listen(port + index, '127.0.0.1'),
    );
    const listening = probes.map((probe) => once(probe, 'listening'));
    const results = await Promise.allSettled(listening);
    for (const probe of probes) probe.close();
    if (results.every(({ status }) => status === 'fulfilled')) return port;
  }
}

async function withRedis<T>(
  run: (redis: ReturnType<typeof connectRedis>) => Promise<T>,
): Promise<T> {
  const url = unixSocketUrl(join(bench.data, 'redis.sock'));
  const redis = connectRedis(url, { name: 'test', role: 'command' });
  try {
    return await run(redis);
  } finally {
    redis.disconnect();
  }
}

describe('a start', () => {
  test('says that it is ready when it serves, from processes that tell what they are', async () => {
    const started = bench.start();
    const [url] = await started.ready();
    expect(await pidAt(url)).toBe(started.below('fixtures/ingress.ts')[0]?.pid);
    expect(started.below('fixtures/worker.ts')).toHaveLength(2);
    expect(started.below('redis-server')).toHaveLength(1);
    expect(started.below().every(({ parent }) => parent === started.pid)).toBe(true);
  });

  test('gives ingresses and workers the flags of the memory profile, and refuses an unknown one', async () => {
    const small = bench.start([], { MILLRACE_MEMORY_PROFILE: 'small' });
    await small.ready();
    const roles = [...small.below('fixtures/ingress.ts'), ...small.below('fixtures/worker.ts')];
    expect(roles).toHaveLength(3);
    for (const { command } of roles) expect(command).toContain(' --max-semi-space-size=4 ');
    const unknown = bench.start([], { MILLRACE_MEMORY_PROFILE: 'tiny' });
    expect(await unknown.exit).toEqual([78, null]);
    expect(unknown.err()).toContain('expected one of default, small, throughput, found "tiny"');
  });

  test('with several ingresses has them on ports in a row, and says so for each', async () => {
    const port = await freePorts(3);
    const started = bench.start(['--ingresses', '3', '--port', String(port)]);
    const urls = (await started.ready(3)).toSorted();
    expect(urls).toEqual([0, 1, 2].map((index) => `http://127.0.0.1:${port + index}`).toSorted());
    expect(new Set(await Promise.all(urls.map(pidAt))).size).toBe(3);
  });

  test('on a data folder that is in use says so and fails, and leaves the first one alone', async () => {
    const first = bench.start();
    const [url] = await first.ready();
    const second = bench.start();
    expect(await second.exit).toEqual([1, null]);
    expect(second.err()).toMatch(
      new RegExp(`^millrace: the data folder ${bench.data} is in use .*process ${first.pid}`, 'm'),
    );
    expect(second.out()).toBe('');
    expect(await pidAt(url)).toBeGreaterThan(0);
  });

  test.each(['worker', 'ingress'])(
    'whose %s cannot start ends with its exit code',
    async (role) => {
      const started = bench.start([], { ROLE_FAILS: role });
      expect(await started.exit).toEqual([78, null]);
      expect(started.err()).toContain(`${role}: cannot start, on purpose`);
      expect(started.err()).toMatch(/millrace: \w+ \d exited with code 78 before it could serve/);
      expect(bench.processes()).toEqual([]);
    },
  );

  test('whose port is taken ends with a clear error', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const started = bench.start(['--port', String(port)]);
    expect(await started.exit).toEqual([78, null]);
    expect(started.err()).toContain('EADDRINUSE');
    taken.close();
  });

  test('with a shared Redis that is not there says so, without the password', async () => {
    const started = bench.start([], { REDIS_URL: 'redis://u:hunter2@127.0.0.1:1' });
    expect(await started.exit).toEqual([1, null]);
    expect(started.err()).toContain('redis://u:***@127.0.0.1:1: nothing listens there');
    expect(started.err()).not.toContain('hunter2');
    expect(existsSync(bench.data)).toBe(false);
  });

  test('with a shared Redis starts none, and does not show the password', async () => {
    const first = bench.start();
    await first.ready();
    await withRedis((redis) => redis.acl('SETUSER', 'u', 'on', '>hunter2', '~*', '&*', '+@all'));
    const socket = join(bench.data, 'redis.sock');
    const second = bench.start(['--redis', `unix://u:hunter2@${socket}`]);
    await second.ready();
    expect(second.below('redis-server')).toEqual([]);
    expect(second.below().filter(({ command }) => command.includes('hunter2'))).toEqual([]);
  });

  test('without a config has simulated providers, and a config that names them', async () => {
    const started = bench.startWith(['--port', '0', '--data', bench.data]);
    await started.ready();
    await until(() => started.out().includes('curl -N http://127.0.0.1:'));
    expect(started.below('simulator').map(({ command }) => command.split('--name ')[1])).toEqual(
      expect.arrayContaining(['simulated', 'simulated-backup']),
    );
    started.child.kill('SIGTERM');
    expect(await started.exit).toEqual([0, null]);

    // A copy of that config is as good as another one: it names no port that only one start had.
    const copy = join(bench.folder, 'copy.yaml');
    copyFileSync(join(bench.data, 'simulated.yaml'), copy);
    const again = bench.startWith(['--port', '0', '--data', bench.data, '--config', copy]);
    await again.ready();
    const [worker] = again.below('worker');
    const env = readFileSync(`/proc/${worker?.pid}/environ`, 'utf8');
    const urls = [...env.matchAll(/MILLRACE_SIMULATED\w*_URL=([^\0]+)/g)].map(([, url]) => url);
    const answers = urls.map(async (url) => {
      const body = JSON.stringify({
        model: 'healthy',
        messages: [{ role: 'user', content: 'Hi' }],
      });
      return fetch(`${url}/v1/chat/completions`, { method: 'POST', body });
    });
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
    again.child.kill('SIGTERM');
    expect(await again.exit).toEqual([0, null]);
    expect(bench.processes()).toEqual([]);
  });

  test('works in a folder whose path is too long for a socket', async () => {
    const data = join(bench.folder, 'long'.repeat(30));
    const started = bench.start(['--data', data]);
    await started.ready();
    const socket =
      /unixsocket:(\S+)/.exec(started.below('redis-server')[0]?.command ?? '')?.[1] ?? '';
    expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700);
    started.child.kill('SIGTERM');
    expect(await started.exit).toEqual([0, null]);
    expect(existsSync(dirname(socket))).toBe(false);
  });
});

describe('a process that dies', () => {
  const killOne = async (started: Started, word: string) => {
    const [victim] = started.below(word);
    kill(victim?.pid ?? 0);
    await until(() => {
      const now = started.below(word);
      return now.length > 0 && now.every(({ pid }) => pid !== victim?.pid);
    });
  };

  test('is started again while the others go on: a worker', async () => {
    const started = bench.start();
    const [url] = await started.ready();
    const ingress = await pidAt(url);
    await killOne(started, 'fixtures/worker.ts');
    await until(() => started.below('fixtures/worker.ts').length === 2);
    expect(await pidAt(url)).toBe(ingress);
    expect(started.out()).toBe(`millrace ready ${url}\n`);
  });

  test('is started again while the others go on: an ingress, on the port that it had', async () => {
    const started = bench.start();
    const [url] = await started.ready();
    const before = await pidAt(url);
    kill(before);
    await servesAgain(url, before);
    const after = await pidAt(url);
    kill(after);
    await servesAgain(url, after);
    expect(started.below('fixtures/ingress.ts')[0]?.pid).toBe(await pidAt(url));
  });

  test('is started again while the others go on: Redis, with what was in it', async () => {
    const started = bench.start();
    const [url] = await started.ready();
    const ingress = await pidAt(url);
    await withRedis((redis) => redis.set('kept', 'yes'));
    await killOne(started, 'redis-server');
    expect(await withRedis((redis) => redis.get('kept'))).toBe('yes');
    expect(await pidAt(url)).toBe(ingress);
  });
});

describe('a worker that dies', () => {
  test('is told to every ingress', async () => {
    const started = bench.start(['--ingresses', '2']);
    await started.ready(2);
    const [victim] = started.below('fixtures/worker.ts');
    kill(victim?.pid ?? 0);
    const told = () =>
      existsSync(join(bench.folder, 'journal'))
        ? bench.journal().filter((line) => line === 'ingress hears of a worker')
        : [];
    await expect.poll(told, { timeout: 10_000 }).toHaveLength(2);
  });
});

describe('a signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s drains ingresses, then workers, then Redis, and exits 0',
    async (signal) => {
      const started = bench.start();
      await started.ready();
      started.child.kill(signal);
      expect(await started.exit).toEqual([0, null]);
      expect(bench.journal()).toEqual([
        'ingress drains within 1500 (drain message)',
        'ingress ends, Redis says PONG',
        expect.stringMatching(/^worker drains within \d+/),
        expect.stringMatching(/^worker/),
        expect.stringMatching(/^worker/),
        'worker ends, Redis says PONG',
      ]);
      expect(bench.processes()).toEqual([]);
    },
  );

  test('to the whole group does the same: only the supervisor acts on it', async () => {
    const started = bench.start();
    await started.ready();
    process.kill(-started.pid, 'SIGINT');
    process.kill(-started.pid, 'SIGINT');
    expect(await started.exit).toEqual([0, null]);
    expect(bench.journal()[0]).toBe('ingress drains within 1500 (drain message)');
    expect(bench.processes()).toEqual([]);
  });

  test('while it is still starting ends it with 0', async () => {
    const started = bench.start();
    await until(() => started.below('redis-server').length > 0);
    started.child.kill('SIGTERM');
    expect(await started.exit).toEqual([0, null]);
    expect(started.out()).toBe('');
    expect(bench.processes()).toEqual([]);
  });

  test('again within a second is the same one; a later one ends everything at once', async () => {
    const started = bench.start([], { ROLE_SLOW: 'ingress', DRAIN_MS: '15000' });
    const [url] = await started.ready();
    const pids = started.below().map(({ pid }) => pid);
    started.child.kill('SIGTERM');
    await until(() => existsSync(join(bench.folder, 'journal')));
    started.child.kill('SIGTERM');
    await sleep(1050); // the promise is about time
    expect(await pidAt(url)).toBeGreaterThan(0);
    started.child.kill('SIGTERM');
    expect(await started.exit).toEqual([143, null]);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test.each(['ingress', 'worker'])(
    'ends a stubborn %s when its time is over, and exits 0',
    async (role) => {
      const started = bench.start([], { ROLE_STUBBORN: role });
      await started.ready();
      const pids = started.below().map(({ pid }) => pid);
      started.child.kill('SIGTERM');
      expect(await started.exit).toEqual([0, null]);
      expect(started.err()).toMatch(new RegExp(`${role} \\d did not end in time`));
      expect(pids.filter(isAlive)).toEqual([]);
    },
  );
});

describe('a supervisor that is killed', () => {
  test('leaves nothing behind: roles drain, Redis serves them until then', async () => {
    const started = bench.start([], { ROLE_SLOW: 'worker', DRAIN_MS: '1200' });
    await started.ready();
    const pids = started.below().map(({ pid }) => pid);
    expect(pids).toHaveLength(5); // an ingress, two workers, Redis, the watchdog
    process.kill(-started.pid, 'SIGKILL');
    await until(() => !pids.some(isAlive));
    expect(bench.journal()).toContain('ingress drains within ? (parent is gone)');
    expect(bench.journal().filter((line) => line === 'worker ends, Redis says PONG')).toHaveLength(
      2,
    );
  });

  test('leaves nothing behind: a role that does not drain is killed', async () => {
    const started = bench.start([], { ROLE_STUBBORN: 'worker' });
    await started.ready();
    const pids = started.below().map(({ pid }) => pid);
    kill(started.pid);
    await until(() => !pids.some(isAlive));
    expect(bench.journal().join()).not.toContain('worker ends');
  });

  test('and whose Redis is left over is no hindrance: the next start ends that, and has its data', async () => {
    const first = bench.start();
    await first.ready();
    await withRedis((redis) => redis.set('kept', 'yes'));
    const redisPid = first.below('redis-server')[0]?.pid ?? 0;
    for (const { pid } of first.below('watchdog')) kill(pid);
    kill(first.pid);
    expect(isAlive(redisPid)).toBe(true);
    const second = bench.start();
    await second.ready();
    expect(isAlive(redisPid)).toBe(false);
    expect(second.below('redis-server')).toHaveLength(1);
    expect(await withRedis((redis) => redis.get('kept'))).toBe('yes');
    expect(second.err()).toContain('left behind');
  });

  test('with a left over Redis that does not answer: the next start kills it', async () => {
    const first = bench.start();
    await first.ready();
    const redisPid = first.below('redis-server')[0]?.pid ?? 0;
    for (const { pid } of first.below('watchdog')) kill(pid);
    kill(first.pid);
    kill(redisPid, 'SIGSTOP');
    const second = bench.start();
    await second.ready();
    expect(isAlive(redisPid)).toBe(false);
  });
});

describe('what was queued', () => {
  test('is still there after a stop and a start, which takes less than three seconds', async () => {
    const first = bench.start();
    await first.ready();
    await withRedis((redis) => redis.rpush('queue', 'a', 'b'));
    first.child.kill('SIGTERM');
    await first.exit;
    const before = performance.now();
    const second = bench.start();
    await second.ready();
    expect(performance.now() - before).toBeLessThan(3000);
    expect(await withRedis((redis) => redis.lrange('queue', 0, -1))).toEqual(['a', 'b']);
    expect(readFileSync(join(bench.data, 'supervisor.pid'), 'utf8').trim()).toBe(`${second.pid}`);
  });
});
