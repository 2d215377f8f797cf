import { copyFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Bench, pidAt, until } from './fixtures/harness.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

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
    await bench.withRedis((redis) =>
      redis.acl('SETUSER', 'u', 'on', '>hunter2', '~*', '&*', '+@all'),
    );
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
    copyFileSync(join(bench.data, 'config.yaml'), copy);
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

  test('without a config serves the models of the providers whose keys are in the environment, and tells no key', async () => {
    const key = 'sk-test-7Qx29fKd83Lm';
    const own = {
      OPENAI_API_KEY: key,
      GROQ_API_KEY: ' ',
      OPENAI_BASE_URL: 'http://127.0.0.1:9/v1',
    };
    const started = bench.startWith(['--port', '0', '--data', bench.data], own);
    await started.ready();
    await until(() => started.out().includes('Console'));
    expect(started.out()).toMatch(/openai\/\* +with OPENAI_API_KEY/);
    expect(started.out()).not.toContain('groq');
    const text = readFileSync(join(bench.data, 'config.yaml'), 'utf8');
    expect(text).toContain("'openai/*': { targets: [{ provider: openai, model: '*' }] }");
    expect(text).toContain("baseUrl: '${OPENAI_BASE_URL}'");
    expect(started.out() + started.err() + text).not.toContain(key.slice(0, 11));
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

describe('what was queued', () => {
  test('is still there after a stop and a start', async () => {
    const first = bench.start();
    await first.ready();
    await bench.withRedis((redis) => redis.rpush('queue', 'a', 'b'));
    first.child.kill('SIGTERM');
    await first.exit;
    const second = bench.start();
    await second.ready();
    expect(await bench.withRedis((redis) => redis.lrange('queue', 0, -1))).toEqual(['a', 'b']);
    expect(readFileSync(join(bench.data, 'supervisor.pid'), 'utf8').trim()).toBe(`${second.pid}`);
  });
});
