import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createSelf } from './self.ts';

test('a worker tells where it runs, since when, and how much', () => {
  const self = createSelf({ runs: () => 3, pausedShards: () => [1] });
  const { started_at: startedAt, ...told } = self();
  expect(told).toMatchObject({ host: hostname(), pid: process.pid, runs: 3, paused_shards: [1] });
  expect(Math.abs(Date.now() / 1000 - process.uptime() - startedAt)).toBeLessThan(1);
});

test('a loop that stood still is told once', async () => {
  const self = createSelf({ runs: () => 0, pausedShards: () => [] });
  const standStill = async () => {
    for (const until = performance.now() + 300; performance.now() < until;);
    // Whether the loop was looked at right before and after is up to the machine: so it is tried again.
    await sleep(40);
    return self().loop_delay_p99_ms;
  };
  await expect.poll(standStill).toBeGreaterThan(200);
  expect(self().loop_delay_p99_ms).toBeLessThan(200);
});
