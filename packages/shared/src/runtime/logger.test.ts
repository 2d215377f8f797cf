import { execFileSync, spawn } from 'node:child_process';
import { constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { createLogger, logBound } from './logger.ts';

const dir = mkdtempSync(join(tmpdir(), 'millrace-log-'));
afterAll(() => {
  rmSync(dir, { recursive: true });
});

it('no field that is named like a secret is printed, also of an error and in an object', async () => {
  const path = join(dir, 'log');
  // Stays open, as in log-writer.test.ts.
  const fd = openSync(path, 'a');
  const logger = createLogger({ name: 'test', level: 'info', fd });
  const config = { headers: { authorization: 'hidden' } };
  const error = Object.assign(new Error('refused'), { config, apiKey: 'hidden', status: 401 });
  logger.error({ err: error, provider: { apiKey: 'hidden', name: 'p' } }, 'one');
  logger.error(error);
  logger.info({ token: 'hidden' }, 'three');
  logger.error({ err: 'no error', id: 1 });
  await expect.poll(() => logBound(logger).read()).toBe(0);
  const text = readFileSync(path, 'utf8');
  expect(text).not.toContain('hidden');
  const lines = text
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  const err = {
    type: 'Error',
    message: 'refused',
    status: 401,
    apiKey: '[redacted]',
    config: { headers: { authorization: '[redacted]' } },
  };
  expect(lines).toMatchObject([
    { msg: 'one', err, provider: { apiKey: '[redacted]', name: 'p' } },
    { msg: 'refused', err },
    { msg: 'three', token: '[redacted]' },
    { err: 'no error', id: 1 },
  ]);
});

it('a log that nobody reads holds so much, and counts what it drops', async () => {
  const pipe = join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  // Open for both, so that it is there without a reader; full, it says so at once.
  const fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
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
