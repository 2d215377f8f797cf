import { execFileSync } from 'node:child_process';
import { constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLogWriter } from './log-writer.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-log-'));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true });
});

/**
 * Stays open: a writer that could not write everything tries again for as long as this process lives, and a closed
 * descriptor would be another file's by then.
 */
const open = (path: string, flags: string | number): number => openSync(path, flags);

/** Several turns of the event loop: what was to be written at once has been. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Without a timer, which would move the clock of the test on. */
async function untilTrue(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
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

it('the first line after a pause is written at once, those that follow it are gathered', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const path = join(dir, 'log');
  const writer = createLogWriter(open(path, 'a'), 1_000_000);
  const written = () => readFileSync(path, 'utf8');
  writer.write('1\n');
  await untilTrue(() => writer.held === 0);
  writer.write('2\n');
  vi.advanceTimersByTime(30);
  writer.write('3\n');
  await turns();
  expect([writer.held, written()]).toEqual([4, '1\n']);
  vi.advanceTimersByTime(20);
  await untilTrue(() => writer.held === 0);
  expect(written()).toBe('1\n2\n3\n');
  vi.advanceTimersByTime(50);
  writer.write('4\n');
  await untilTrue(() => written() === '1\n2\n3\n4\n');
});

it('lines are gathered no longer once they fill a batch', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const path = join(dir, 'log');
  const writer = createLogWriter(open(path, 'a'), 1_000_000);
  const line = `${'z'.repeat(999)}\n`;
  for (let i = 0; i < 200; i++) writer.write(line);
  // The rest of less than a batch waits.
  await untilTrue(() => writer.held < 64 * 1024);
  expect(readFileSync(path, 'utf8').length + writer.held).toBe(200_000);
  vi.advanceTimersByTime(50);
  await untilTrue(() => writer.held === 0);
  expect(readFileSync(path, 'utf8')).toBe(line.repeat(200));
});

it('a flush writes what is gathered, behind what was written before', async () => {
  const path = join(dir, 'log');
  const writer = createLogWriter(open(path, 'a'), 1_000_000);
  writer.write('1\n');
  await expect.poll(() => writer.held).toBe(0);
  writer.write('2\n');
  writer.flushSync();
  expect(readFileSync(path, 'utf8')).toBe('1\n2\n');
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
  // It returns: otherwise the test ends by its own time limit.
  writer.flushSync();
  // The pipe takes 64 KiB.
  expect(writer.held).toBeGreaterThan(900_000);
});
