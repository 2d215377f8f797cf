import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { spawnChild } from '../test/kit/child.ts';
import { processTree } from '../test/kit/proc.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

function bench(...args: string[]) {
  return spawnChild({ name: 'bench', command: process.execPath, args: [MAIN, ...args] });
}

it(
  'a quick run prints its tables, writes its JSON and leaves no process',
  { timeout: 60_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bench-test-'));
    try {
      const file = join(folder, 'new', 'out.json');
      const run = bench('c1', 'streams', '--systems', 'bare', '--quick', '--out', file);
      const code = await run.exited;
      expect(run.stdout).toMatch(/^bare .*\d\.\d\d/m);
      expect(run.stdout).toMatch(/goal {2}c1.*not measured/);
      expect(code).toBe(0);
      const { reports } = JSON.parse(await readFile(file, 'utf8'));
      const { measurements } = reports.compare.record;
      expect(measurements).toHaveLength(4);
      expect(measurements[3]).toMatchObject({
        system: 'bare',
        result: { requests: 100, framesLost: 0 },
      });
      expect(await processTree(run.pid)).toEqual([]);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

it('an interrupt ends everything that was started', { timeout: 60_000 }, async () => {
  const run = bench('streams', '--systems', 'bare', '--out', '/dev/null');
  const isUp = async (): Promise<boolean> => (await processTree(run.pid)).length === 4;
  while (run.process.exitCode === null && !(await isUp())) await sleep(50);
  const pids = (await processTree(run.pid)).map(({ pid }) => pid);
  expect(pids).toHaveLength(4);
  expect(await run.stop('SIGINT')).toBe(130);
  for (const pid of pids) expect(await processTree(pid)).toEqual([]);
});
