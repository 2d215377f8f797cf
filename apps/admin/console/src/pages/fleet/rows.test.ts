import { expect, test } from 'vitest';
import { drainQuestion, loadOf, rowsOf } from './rows.ts';
import type { FleetAnswer, Process } from './types.ts';

const process = (changes: Partial<Process>): Process => ({
  name: 'worker-a',
  role: 'worker',
  stage: 'serving',
  listening: true,
  version: '1.0.0',
  host: 'a',
  pid: 1,
  started_at: '2026-01-01T00:00:00Z',
  uptime_s: 1,
  counts: {},
  ...changes,
});

const fleet = (processes: Process[]): FleetAnswer => ({
  processes,
  queue: { waiting: 0, active: 0, oldest_ms: null, paused_shards: [] },
  ledger: null,
  redis: { shards: 1, used_bytes: null, max_bytes: null },
});

test('a process with another config or version than most is marked', () => {
  const rows = rowsOf(
    fleet([
      process({ name: 'a' }),
      process({ name: 'b', version: '0.9.0' }),
      process({ name: 'c' }),
      process({ name: 'not-reported' }),
    ]),
    {
      agreed: false,
      processes: [
        { name: 'a', hash: 'x', needs_restart: [], problems: [] },
        { name: 'b', hash: 'x', needs_restart: ['listen.port'], problems: [] },
        { name: 'c', hash: 'y', needs_restart: [], problems: ['line 3: unknown field'] },
      ],
    },
  );
  expect(rows.map(({ differs }) => differs)).toEqual([false, false, true, false]);
  expect(rows.map(({ isOtherVersion }) => isOtherVersion)).toEqual([false, true, false, false]);
  expect(rows[1]?.needsRestart).toEqual(['listen.port']);
  expect(rows[2]?.problems).toEqual(['line 3: unknown field']);
  expect(rows[3]?.hash).toBeUndefined();
});

test('without the configs no process counts as different', () => {
  expect(rowsOf(fleet([process({})]), undefined)[0]).toMatchObject({ differs: false });
});

test('the question before a drain says what happens to the runs, and whether another worker serves', () => {
  const [one, other] = [process({ counts: { runs: 3 } }), process({ name: 'worker-b' })];
  expect(drainQuestion(one, [one, other])).toBe(
    'worker-a takes no new requests; its 3 runs go on to the end.',
  );
  const away = { ...other, stage: 'draining' as const };
  expect(drainQuestion(one, [one, away])).toMatch(/No other worker serves/);
  const ingress = process({ name: 'ingress-a', role: 'ingress' });
  expect(drainQuestion(ingress, [ingress, one, other])).toMatch(/clients get 503/);
});

test('the load of a process leaves out its zeros', () => {
  expect(loadOf(process({ counts: { runs: 2, waiting: 0 } }))).toBe('2 runs');
  expect(loadOf(process({ counts: { runs: 0 } }))).toBe('idle');
  expect(loadOf(process({ role: 'admin' }))).toBe('');
});
