import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';

// The test of the whole promise, as an operator runs it: real processes, and only what a reader and
// the two providers can see of them.

const root = join(import.meta.dirname, '../..');

type Results = { cases: { id: string; verdict: string; reason: string; asExpected: boolean }[] };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-crashtest-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function crashtest(...args: string[]) {
  const json = join(folder, 'results.json');
  const argv = [join(root, 'crashtest/main.ts'), ...args, '--json', json];
  const run = promisify(execFile)(process.execPath, argv, { cwd: root });
  const { stdout, code } = await run.then(
    (printed) => ({ ...printed, code: 0 }),
    (error: { stdout: string; stderr: string; code: number }) => error,
  );
  const results = await readFile(json, 'utf8').then(
    (text) => JSON.parse(text) as Results,
    () => ({ cases: [] }),
  );
  return { code, stdout, ...results };
}

test('passes 16 of 16 of the public fault catalogue', async () => {
  const { code, stdout, cases } = await crashtest('--profile', 'fast', '--only', 'S');
  expect(cases.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
  expect(cases).toHaveLength(16);
  expect(stdout.trimEnd().split('\n').at(-1)).toBe('public catalogue: 16 of 16');
  expect(code).toBe(0);
});

test('ends whole or with one clear error when the backup is no parrot', async () => {
  const { code, cases } = await crashtest('--profile', 'fast', '--only', 'B');
  expect(cases.filter(({ asExpected }) => !asExpected)).toEqual([]);
  expect(cases).toHaveLength(16);
  expect(code).toBe(0);
});
