import { expect, test } from 'vitest';
import { spawnCli } from '../kit/cli.ts';
import { processTree } from '../kit/proc.ts';

test('the demonstration breaks a provider, a worker and an ingress, shows whole answers, and leaves no process', async () => {
  const child = spawnCli(['demo', '--streams', '8']);
  const code = await child.exited;
  expect(child.stderr).toBe('');
  expect(child.stdout).toContain('[simulated-backup/');
  expect(child.stdout.match(/8 of 8 answers are whole/g)).toHaveLength(2);
  // Each worker has some of the streams; on a slow machine a stream may have ended before the ingress is killed.
  expect(child.stdout).toMatch(/^ {3}[1-8] of them went on at the other worker/m);
  expect(child.stdout).toMatch(/^ {3}[1-8] of them were read on from where they were/m);
  expect(child.stdout).toContain('A stream that has started reaches its end.');
  expect(code).toBe(0);
  expect(await processTree(child.pid)).toEqual([]);
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  'the demonstration ends its fleet on %s',
  async (name) => {
    const child = spawnCli(['demo', '--streams', '1', '--verbose']);
    await child.line('stderr', /^millrace ready /);
    const below = (await processTree(child.pid)).map(({ pid }) => pid);
    expect(below.length).toBeGreaterThan(5);
    expect(await child.stop(name)).toBe(130);
    for (const pid of below) await expect.poll(() => processTree(pid)).toEqual([]);
  },
);
