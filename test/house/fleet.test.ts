import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startFleet } from '../kit/fleet.ts';

// A test whose start fails must not leave processes to the tests after it.

// Nobody else leaves anything here.
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-house-'));
  vi.stubEnv('TMPDIR', folder);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** What a fleet leaves while it lives: processes of ours, and folders. */
async function traces(): Promise<string[]> {
  const list = await promisify(execFile)('ps', ['-A', '-o', 'ppid=,pid=,args=']);
  const ours = list.stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([parent, , ...args]) => Number(parent) === process.pid && args[0] !== 'ps')
    .map(([, pid, ...args]) => `${pid} ${args.join(' ')}`);
  return [...ours, ...(await readdir(folder))].sort();
}

const models = { m: 'healthy' };

test.each([
  ['an ingress', { listen: { tls: { cert: './no.pem', key: './no.key' } } }, /TLS.*no\.pem/],
  ['any role', { nonsense: 1 }, /nonsense/],
])('a fleet in which %s does not start says why and leaves nothing behind', async (...row) => {
  const [, config, reason] = row;
  const before = await traces();
  await expect(startFleet({ workers: 2, models, config })).rejects.toThrow(reason);
  expect(await traces()).toEqual(before);
});

test('a fleet whose Redis does not start says so and leaves nothing behind', async () => {
  const before = await traces();
  await expect(startFleet({ redisArgs: ['--nonsense'] })).rejects.toThrow(/redis-server/);
  expect(await traces()).toEqual(before);
});
