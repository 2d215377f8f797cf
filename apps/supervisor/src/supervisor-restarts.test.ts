import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Bench, isAlive, kill, pidAt, until, type Started } from './fixtures/harness.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const servesAgain = (url: string | undefined, before: number) =>
  until(async () => {
    const pid = await pidAt(url).catch(() => before);
    return pid !== before;
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
    await bench.withRedis((redis) => redis.set('kept', 'yes'));
    await killOne(started, 'redis-server');
    expect(await bench.withRedis((redis) => redis.get('kept'))).toBe('yes');
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
    await expect.poll(told).toHaveLength(2);
  });
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
    bench.drainWithin('200ms');
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
    await bench.withRedis((redis) => redis.set('kept', 'yes'));
    const redisPid = first.below('redis-server')[0]?.pid ?? 0;
    for (const { pid } of first.below('watchdog')) kill(pid);
    kill(first.pid);
    expect(isAlive(redisPid)).toBe(true);
    const second = bench.start();
    await second.ready();
    expect(isAlive(redisPid)).toBe(false);
    expect(second.below('redis-server')).toHaveLength(1);
    expect(await bench.withRedis((redis) => redis.get('kept'))).toBe('yes');
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
