import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Bench, isAlive, pidAt, until } from './fixtures/harness.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const journal = () => join(bench.folder, 'journal');

describe('a signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s drains ingresses, then workers, then Redis, and exits 0',
    async (signal) => {
      const started = bench.start();
      await started.ready();
      started.child.kill(signal);
      expect(await started.exit).toEqual([0, null]);
      expect(bench.journal()).toEqual([
        'ingress drains within 17000 (drain message)',
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
    expect(bench.journal()[0]).toBe('ingress drains within 17000 (drain message)');
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
    await until(() => existsSync(journal()));
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
      bench.drainWithin('200ms');
      const started = bench.start([], { ROLE_STUBBORN: role });
      await started.ready();
      const pids = started.below().map(({ pid }) => pid);
      started.child.kill('SIGTERM');
      expect(await started.exit).toEqual([0, null]);
      expect(started.err()).toMatch(new RegExp(`${role} \\d did not end in time`));
      expect(pids.filter(isAlive)).toEqual([]);
    },
  );

  test('SIGHUP makes all processes read their config again, and ends nothing', async () => {
    const started = bench.start();
    await started.ready();
    const pids = started.below().map(({ pid }) => pid);
    started.child.kill('SIGHUP');
    const reads = () => (existsSync(journal()) ? bench.journal() : []);
    await until(() => reads().length === 3);
    expect(reads().toSorted()).toEqual([
      'ingress reads its config again (supervisor)',
      'worker reads its config again (supervisor)',
      'worker reads its config again (supervisor)',
    ]);
    expect(pids.filter(isAlive)).toEqual(pids);
  });
});
