import { expect, test } from 'vitest';
import { spawnCli } from '../kit/cli.ts';
import { processTree } from '../kit/proc.ts';

test('the demonstration breaks a provider, a worker and an ingress, shows whole answers, and leaves no process', async () => {
  const child = spawnCli(['demo', '--streams', '4']);
  const code = await child.exited;
  expect(child.stderr).toBe('');
  expect(child.stdout).toContain('[simulated-backup/');
  expect(child.stdout.match(/4 of 4 answers are whole/g)).toHaveLength(2);
  // Each worker had two of the streams.
  expect(child.stdout).toMatch(/^ {3}[1-4] of them went on at the other worker/m);
  expect(child.stdout).toMatch(/^ {3}4 of them were read on from where they were/m);
  expect(child.stdout).toContain('A stream that has started reaches its end.');
  expect(code).toBe(0);
  expect(await processTree(child.pid)).toEqual([]);
});

test('the demonstration ends its fleet when it is interrupted', async () => {
  const child = spawnCli(['demo', '--streams', '1', '--verbose']);
  await child.line('stderr', /^millrace ready /);
  const below = (await processTree(child.pid)).map(({ pid }) => pid);
  expect(below.length).toBeGreaterThan(5);
  expect(await child.stop('SIGINT')).toBe(130);
  for (const pid of below) await expect.poll(() => processTree(pid)).toEqual([]);
});
