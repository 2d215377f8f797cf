import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLogWriter } from './log-writer.ts';

let dir: string;
let fds: number[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-log-'));
  fds = [];
});
afterEach(() => {
  for (const fd of fds) closeSync(fd);
  rmSync(dir, { recursive: true });
});

function open(path: string, flags: string | number): number {
  const fd = openSync(path, flags);
  fds.push(fd);
  return fd;
}

it('lines reach a file whole and in order, whether they are flushed or not', async () => {
  const path = join(dir, 'log');
  const writer = createLogWriter(open(path, 'a'), 1_000_000);
  const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ä\n`);
  for (const line of lines.slice(0, 2500)) writer.write(line);
  await expect.poll(() => writer.held).toBe(0);
  for (const line of lines.slice(2500)) writer.write(line);
  await expect.poll(() => writer.held).toBe(0);
  expect(readFileSync(path, 'utf8')).toBe(lines.join(''));
});

it('a flush in the middle of a write loses no line and doubles none', async () => {
  const path = join(dir, 'log');
  const writer = createLogWriter(open(path, 'a'), 1_000_000);
  const lines = Array.from({ length: 3000 }, (_, i) => `line ${i}\n`);
  for (const line of lines) writer.write(line);
  writer.flushSync();
  await expect.poll(() => writer.held).toBe(0);
  expect(readFileSync(path, 'utf8').split('\n').toSorted()).toEqual(
    lines.join('').split('\n').toSorted(),
  );
});

it('what was written in the same breath is there when the flush is over', () => {
  const path = join(dir, 'log');
  const writer = createLogWriter(open(path, 'a'), 1_000_000);
  writer.write('a bug: exiting\n');
  writer.flushSync();
  expect(readFileSync(path, 'utf8')).toBe('a bug: exiting\n');
});

it('on a full disk the flush ends, and the lines wait within the bound', async () => {
  const writer = createLogWriter(open('/dev/full', 'w'), 100);
  for (let i = 0; i < 10; i++) writer.write(`${'x'.repeat(19)}\n`);
  writer.flushSync();
  await expect.poll(() => writer.held).toBe(100);
  expect(writer.dropped).toBe(5);
  writer.flushSync();
  expect(writer.held).toBe(100);
});

it('the flush gives up at a pipe that stays full', () => {
  const pipe = join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const fd = open(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const writer = createLogWriter(fd, 4_000_000);
  const line = `${'y'.repeat(999)}\n`;
  for (let i = 0; i < 1000; i++) writer.write(line);
  const before = performance.now();
  writer.flushSync();
  // The pipe takes 64 KiB.
  expect(writer.held).toBeGreaterThan(900_000);
  expect(performance.now() - before).toBeLessThan(5000);
});
