import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchLoopDelay } from '@millrace/shared/runtime/loop-delay';
import { expect, test } from 'vitest';
import { createProcessStats } from './process-stats.ts';

test('a worker tells where it runs, since when, and how much', () => {
  const self = createProcessStats({
    loop: { takeWorst: () => 0 },
    runs: () => 3,
    pausedShards: () => [1],
  });
  const { started_at: startedAt, ...told } = self();
  expect(told).toMatchObject({ host: hostname(), pid: process.pid, runs: 3, paused_shards: [1] });
  expect(Math.abs(Date.now() / 1000 - process.uptime() - startedAt)).toBeLessThan(1);
});

test('a loop that stood still is told once', async () => {
  const loop = watchLoopDelay();
  const self = createProcessStats({ loop, runs: () => 0, pausedShards: () => [] });
  const standStill = async () => {
    for (const until = performance.now() + 300; performance.now() < until;);
    // Whether the loop was looked at right before and after is up to the machine: so it is tried again.
    await sleep(40);
    loop.take();
    return self().loop_delay_max_ms;
  };
  await expect.poll(standStill).toBeGreaterThan(200);
  expect(self().loop_delay_max_ms).toBe(0);
  loop.close();
});
