import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { createLifecycle, type Stage } from './lifecycle.ts';

const fixture = fileURLToPath(new URL('./lifecycle-child.fixture.ts', import.meta.url));
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

type StartOptions = { ipc?: boolean; logLevel?: string; stderr?: 'pipe' | number };

/** A child that is up, its further output line by line, and its end. */
async function start(
  mode = '',
  { ipc = false, logLevel = 'info', stderr = 'pipe' }: StartOptions = {},
) {
  const child = spawn(process.execPath, [fixture, mode], {
    stdio: ['pipe', 'pipe', stderr, ...(ipc ? (['ipc'] as const) : [])],
    env: { ...process.env, LOG_LEVEL: logLevel },
  });
  children.push(child);
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  let logged = '';
  child.stderr?.on('data', (chunk) => (logged += String(chunk)));
  const closed = once(child, 'close').then(() => logged);
  if (!child.stdout) throw new Error('no standard output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value;
  expect(await line()).toBe('up');
  return { child, exit, line, logged: closed };
}

test('a lifecycle only goes forward, and its signal aborts when draining begins', () => {
  const seen: Stage[] = [];
  const lifecycle = createLifecycle((stage) => seen.push(stage));
  expect(lifecycle.advance('serving')).toBe(true);
  expect(lifecycle.draining.aborted).toBe(false);
  expect(lifecycle.advance('draining')).toBe(true);
  expect(lifecycle.draining.aborted).toBe(true);
  expect(lifecycle.advance('serving')).toBe(false);
  expect(lifecycle.advance('stopped')).toBe(true);
  expect(seen).toEqual(['serving', 'draining', 'stopped']);
});

describe('a process', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('drains at %s and exits 0', async (signal) => {
    const { child, exit, line } = await start();
    child.kill(signal);
    expect(await line()).toBe(`drain {"reason":"${signal}"}`);
    child.stdin?.end();
    expect(await exit).toEqual([0, null]);
  });

  test('reads its config again at SIGHUP and when its parent says so, and goes on', async () => {
    const { child, exit, line } = await start('', { ipc: true });
    child.kill('SIGHUP');
    expect(await line()).toBe('reload SIGHUP');
    child.send({ type: 'reload' });
    expect(await line()).toBe('reload supervisor');
    child.kill('SIGTERM');
    expect(await line()).toBe('drain {"reason":"SIGTERM"}');
    child.stdin?.end();
    expect(await exit).toEqual([0, null]);
  });

  test('takes the same signal again within a second as one, and exits at once at a later one', async () => {
    const { child, exit, line } = await start();
    child.kill('SIGINT');
    expect(await line()).toMatch(/^drain/);
    child.kill('SIGINT');
    child.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 1100)); // the promise is about time
    expect(child.exitCode).toBeNull();
    child.kill('SIGTERM');
    expect(await exit).toEqual([143, null]);
  });

  test('drains when its parent says so, with the time it has; the signal after that is no second one', async () => {
    const { child, exit, line } = await start('', { ipc: true });
    child.send({ type: 'something else' });
    child.send({ type: 'drain', withinMs: 1234 });
    expect(await line()).toBe('drain {"reason":"drain message","withinMs":1234}');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    child.kill('SIGTERM');
    child.stdin?.end();
    expect(await exit).toEqual([0, null]);
  });

  test('drains when its parent is gone', async () => {
    const { child, exit, line } = await start('', { ipc: true });
    child.disconnect();
    expect(await line()).toBe('drain {"reason":"parent is gone"}');
    child.stdin?.end();
    expect(await exit).toEqual([0, null]);
  });

  test('is not kept alive by listening to signals and to its parent', async () => {
    const { exit } = await start('idle', { ipc: true });
    expect(await exit).toEqual([0, null]);
  });

  test.each([
    ['throw', ['"origin":"uncaughtException"']],
    ['reject', ['"message":"nobody listens"', '"origin":"unhandledRejection"']],
  ])('with a bug (%s) logs it and exits 1', async (mode, expected) => {
    const { exit, logged } = await start(mode);
    expect(await exit).toEqual([1, null]);
    const text = await logged;
    for (const part of expected) expect(text).toContain(part);
  });

  test('logs that the machine has run out of a resource, and goes on', async () => {
    const { child, exit, line, logged } = await start('shortage');
    expect(await line()).toBe('shortage raised');
    child.kill('SIGTERM');
    expect(await line()).toMatch(/^drain/);
    child.stdin?.end();
    expect(await exit).toEqual([0, null]);
    expect(await logged).toMatch(/EMFILE.*run out of a resource/);
  });

  test('serves on and exits 0 while its log is on a full disk', async () => {
    const { child, exit, line } = await start('', { stderr: openSync('/dev/full', 'w') });
    child.kill('SIGTERM');
    expect(await line()).toMatch(/^drain/);
    child.stdin?.end();
    expect(await exit).toEqual([0, null]);
  });

  test('serves on and exits 0 while nothing reads the pipe that its log goes to', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-lifecycle-'));
    const pipe = join(dir, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const stderr = openSync(pipe, constants.O_RDWR);
    try {
      const { child, exit, line } = await start('flood', { stderr });
      child.kill('SIGTERM');
      expect(await line()).toMatch(/^drain/);
      child.stdin?.end();
      expect(await exit).toEqual([0, null]);
    } finally {
      closeSync(stderr);
      rmSync(dir, { recursive: true });
    }
  });

  test('that cannot drain exits 1', async () => {
    const { child, exit, logged } = await start('fail');
    child.kill('SIGTERM');
    expect(await exit).toEqual([1, null]);
    expect(await logged).toContain('cannot drain');
  });
});

describe('the log', () => {
  test('goes to standard error as JSON, without secrets', async () => {
    const { logged } = await start('log');
    const lines = (await logged).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { name: string }).name)).toEqual([
      'child',
      'child',
    ]);
    expect(lines.join()).not.toContain('hunter2');
    expect(lines[1]).toContain('WRONGPASS');
  });

  test('has the level of LOG_LEVEL, and info where that is none', async () => {
    expect(await (await start('log', { logLevel: 'error' })).logged).not.toContain('redacted');
    expect(await (await start('log', { logLevel: 'debug' })).logged).toContain('not shown');
    expect(await (await start('log', { logLevel: 'loud' })).logged).toMatch(/is not a level/);
  });
});
