import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createLogger, logBound } from './logger.ts';

const dir = mkdtempSync(join(tmpdir(), 'millrace-log-'));
let fd: number;
afterEach(() => {
  closeSync(fd);
  rmSync(dir, { recursive: true });
});

it('a log that nobody reads holds so much, and counts what it drops', async () => {
  const pipe = join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  // Open for both, so that it is there without a reader; full, it says so at once.
  fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const logger = createLogger({ name: 'test', level: 'info', fd });
  const bound = logBound(logger);
  expect([bound.read(), bound.dropped?.()]).toEqual([0, 0]);
  const text = 'x'.repeat(10_000);
  for (let i = 0; i < 1000; i++) logger.info(text);
  expect(bound.read()).toBeGreaterThan(bound.max - 20_000);
  expect(bound.read()).toBeLessThanOrEqual(bound.max);
  expect(bound.dropped?.()).toBeGreaterThan(500);

  const reader = spawn('cat', [pipe], { stdio: 'ignore' });
  await expect.poll(() => bound.read()).toBe(0);
  reader.kill();
});
