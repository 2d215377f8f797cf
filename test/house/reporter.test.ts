import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-reporter-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function run(files: Record<string, string>, env: Record<string, string> = {}) {
  for (const [name, body] of Object.entries(files)) {
    writeFileSync(
      join(folder, `${name}.test.ts`),
      `import { expect, test } from 'vitest';\n${body}`,
    );
  }
  const { MILLRACE_TEST_TALLY: _, ...inherited } = process.env;
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      // One thread, which starts in half of the time of a process for each file.
      '--pool=threads',
      '--maxWorkers=1',
      '--no-isolate',
      '--reporter=default',
      `--reporter=${join(root, 'test/reporter.ts')}`,
    ],
    { cwd: folder, encoding: 'utf8', env: { ...inherited, ...env } },
  );
  return { status, lastLine: stdout.trimEnd().split('\n').at(-1) };
}

const passing = `test('adds', () => expect(1 + 1).toBe(2));`;

test('the last line of a run that passed has its count', () => {
  expect(run({ one: passing, two: `${passing}${passing}` })).toEqual({
    status: 0,
    lastLine: '3 passed, 0 failed',
  });
});

test('failed and skipped tests are counted', () => {
  const one = `${passing} test('fails', () => expect(1).toBe(2)); test.skip('later', () => {});`;
  expect(run({ one })).toEqual({ status: 1, lastLine: '1 passed, 1 failed, 1 skipped' });
});

test('a file that cannot be loaded and an error that nobody caught are failures', () => {
  const broken = `import './missing.ts'; ${passing}`;
  const late = `test('ends first', async () => { void Promise.reject(new Error('late')); await new Promise(setImmediate); });`;
  // One failure of each kind.
  expect(run({ broken, late })).toEqual({ status: 1, lastLine: '1 passed, 2 failed' });
});

test('the line goes to a file when one is named', () => {
  const file = join(folder, 'tally');
  const { lastLine } = run({ one: passing }, { MILLRACE_TEST_TALLY: file });
  expect(lastLine).not.toContain('passed,');
  expect(existsSync(file) && readFileSync(file, 'utf8')).toBe('1 passed, 0 failed\n');
});
