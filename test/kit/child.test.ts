import { once } from 'node:events';
import { expect, it } from 'vitest';
import { startChild } from './child.ts';
import { processTree } from './proc.ts';

const signal = new AbortController().signal;
const node = (script: string) => ({
  name: 'it',
  command: process.execPath,
  args: ['-e', script],
  ready: /^ready (\S+)/,
  signal,
});

it('a child is ready when it says so, and gone when it was stopped, also twice', async () => {
  const child = await startChild(node('console.log("ready now"); setInterval(() => {}, 1000)'));
  expect(child.ready[1]).toBe('now');
  await Promise.all([child.stop(), child.stop()]);
  expect(await processTree(child.pid)).toEqual([]);
});

it('a child that ends before it is ready is an error with what it printed', async () => {
  const started = startChild(node('console.error("no such thing"); process.exit(3)'));
  await expect(started).rejects.toThrow(/no such thing/);
});

it('a program that does not exist is an error', async () => {
  await expect(startChild({ ...node(''), command: '/no/such/program' })).rejects.toMatchObject({
    cause: { code: 'ENOENT' },
  });
});

it('a child that never gets ready is stopped', async () => {
  const silent = { ...node(''), command: '/bin/sh', args: ['-c', 'echo $$; exec sleep 1000'] };
  const error = await startChild({ ...silent, readyMs: 2_000 }).catch((reason: Error) => reason);
  const pid = Number(/printed:\n(\d+)/.exec((error as Error).message)?.[1]);
  expect(pid).toBeGreaterThan(0);
  expect(await processTree(pid)).toEqual([]);
});

it('a child that prints a lot after it is ready is not blocked by a full pipe', async () => {
  const chatty = 'console.log("ready x"); console.log("y".repeat(1e6)); process.exit(0)';
  const child = await startChild(node(chatty));
  if (child.process.exitCode === null) await once(child.process, 'exit');
  expect(child.process.exitCode).toBe(0);
});
