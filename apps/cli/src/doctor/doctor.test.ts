import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import type { RedisExamination } from '@millrace/shared/store/redis-examination';
import { checksText } from '../commands/doctor.ts';
import { judgeExpiry } from './certificates.ts';
import type { Check } from './check.ts';
import { checkDatabase } from './database.ts';
import { judgeAnswer } from './providers.ts';
import { judgeRedis } from './redis.ts';

const good: RedisExamination = {
  server: 'redis',
  version: '7.2.4',
  role: 'master',
  maxmemoryPolicy: 'noeviction',
  maxmemoryBytes: 1000,
  usedBytes: 100,
  appendOnly: { isOn: true, lastWrite: 'ok' },
  snapshots: { lastSave: 'ok' },
  latencyMs: { median: 0.2, worst: 1 },
  clock: { aheadMs: 3, uncertainMs: 1 },
};

const judge = (changes: Partial<RedisExamination>) =>
  judgeRedis({ ...good, ...changes }, { at: 'redis://h:1', queueMemory: 90 });

test('nothing is wrong with a good Redis', () => {
  const checks = judge({});
  expect(checks.map(({ verdict }) => verdict)).toEqual(Array(6).fill('ok'));
  expect(checks[0]?.found).toBe('Redis 7.2.4 at redis://h:1');
});

const bad: [changes: Partial<RedisExamination>, verdict: Check['verdict'], says: string][] = [
  [{ version: '6.2.1' }, 'problem', 'Redis 6.2.1'],
  [{ server: 'valkey', version: '6.0.0' }, 'problem', 'Valkey 6.0.0'],
  [{ version: undefined }, 'warning', 'version could not be read'],
  [{ role: 'slave' }, 'problem', 'is a replica'],
  [{ maxmemoryPolicy: 'allkeys-lru' }, 'problem', 'allkeys-lru'],
  [{ maxmemoryPolicy: undefined }, 'warning', 'could not be read'],
  [{ maxmemoryBytes: 0 }, 'warning', 'no maxmemory'],
  [{ usedBytes: 800 }, 'warning', '80 %'],
  [{ usedBytes: 900 }, 'problem', 'refuse new requests'],
  [{ usedBytes: undefined }, 'warning', 'memory could not be read'],
  [{ appendOnly: { isOn: false, lastWrite: undefined } }, 'warning', 'no append-only file'],
  [{ appendOnly: { isOn: true, lastWrite: 'err' } }, 'problem', 'append-only file failed'],
  [{ appendOnly: undefined }, 'warning', 'could not be read'],
  [{ snapshots: { lastSave: 'err' } }, 'problem', 'snapshot failed'],
  [{ latencyMs: { median: 7, worst: 9 } }, 'warning', '7 ms a round trip'],
  [{ latencyMs: { median: 0.2, worst: 400 } }, 'warning', '400 ms at worst'],
  [{ latencyMs: { median: 80, worst: 90 } }, 'problem', '80 ms'],
  [{ clock: { aheadMs: -5000, uncertainMs: 1 } }, 'warning', '5s behind'],
  [{ clock: { aheadMs: 60_000, uncertainMs: 1 } }, 'problem', '1m ahead of'],
];

test.each(bad)('%j is a %s with advice', (changes, verdict, says) => {
  const others = judge(changes).filter((one) => one.verdict !== 'ok');
  expect(others).toHaveLength(1);
  expect(others[0]?.verdict).toBe(verdict);
  expect(others[0]?.found).toContain(says);
  expect(others[0]?.advice).toBeTruthy();
});

test('a clock that cannot be read exactly is not blamed for the time that the reading took', () => {
  const [clock] = judge({ clock: { aheadMs: 1500, uncertainMs: 700 } }).slice(-1);
  expect(clock?.verdict).toBe('ok');
});

test.each([
  ['Jan  1 00:00:00 2027 GMT', 'ok', 'valid until 2027-01-01 (396 days)'],
  ['Dec 20 00:00:00 2025 GMT', 'warning', '19 days'],
  ['Nov 30 00:00:00 2025 GMT', 'problem', 'expired on 2025-11-30'],
])('a certificate until %s is %s on 1 December 2025', (to, verdict, says) => {
  const now = Date.parse('2025-12-01T00:00:00Z');
  const check = judgeExpiry('c', { from: 'Jan  1 00:00:00 2025 GMT', to }, now);
  expect(check.verdict).toBe(verdict);
  expect(check.found).toContain(says);
});

test('a certificate that is not valid yet is a problem', () => {
  const span = { from: 'Jan  1 00:00:00 2027 GMT', to: 'Jan  1 00:00:00 2028 GMT' };
  expect(judgeExpiry('c', span, Date.parse('2026-11-30')).verdict).toBe('problem');
});

test.each([
  [{ status: 200 }, 'ok'],
  [{ status: 401 }, 'problem'],
  [{ status: 403 }, 'warning'],
  [{ status: 404 }, 'warning'],
  [{ status: 429 }, 'warning'],
  [{ status: 400 }, 'warning'],
  [{ status: 503 }, 'problem'],
  [{ error: 'ECONNREFUSED' }, 'problem'],
])('a provider that answers %j is %s, and its path is not shown', (answer, verdict) => {
  const check = judgeAnswer('p', 'https://host/secret/v1', answer, true);
  expect(check.verdict).toBe(verdict);
  expect(check.found).not.toContain('secret');
});

test('a provider without a key is not said to accept one', () => {
  const judged = (status: number) => judgeAnswer('p', 'https://host/v1', { status }, false).found;
  expect(judged(200)).toBe('https://host answers');
  expect(judged(401)).toBe('https://host answers 401: it asks for a key');
});

test('a database of SQLite is examined without a new file beside it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-doctor-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'ledger.db');
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a)');
  database.close();
  const check = (file: string) => checkDatabase(`sqlite:${join(folder, file)}`, 1000);
  expect((await check('ledger.db')).verdict).toBe('ok');
  expect((await check('new/ledger.db')).found).toContain('the control plane creates it');
  expect(await readdir(folder)).toEqual(['ledger.db']);
  await writeFile(join(folder, 'other'), 'a text that is longer than the header');
  await writeFile(join(folder, 'empty'), '');
  expect(await check('other')).toMatchObject({ verdict: 'problem' });
  expect(await check('empty')).toMatchObject({ verdict: 'ok' });
  expect(await check('.')).toMatchObject({ verdict: 'problem' });
});

test('each check is one line with its verdict, and the sum comes last', () => {
  const text = checksText([
    { name: 'redis', verdict: 'ok', found: 'fine' },
    { name: 'database', verdict: 'problem', found: 'away\nline', advice: 'Start it.' },
  ]);
  expect(text.split('\n')).toEqual([
    'ok       redis     fine',
    'problem  database  away line -> Start it.',
    '1 problem, 0 warnings',
    '',
  ]);
});
