import { expect, test } from 'vitest';
import { startSimulator } from '../apps/simulator/src/index.ts';
import { gather, quantile, unmeasured } from './crowd.ts';
import type { Stage } from './case.ts';
import type { RoleProcess } from './fleet.ts';
import { question } from './rig.ts';
import { totals } from './scorecard.ts';
import type { Result } from './scorecard.ts';

// What was not measured must not look like a good figure.

const crowd = { marker: 'm', streams: [0, 1] as never[] };

/** A backup that was asked for these streams. */
async function askedFor(streams: readonly number[]) {
  const backup = await startSimulator({ name: 'backup' });
  for (const stream of streams) {
    await fetch(`${backup.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(question('healthy:tokens=1', `m-${stream}.`)),
    }).then((response) => response.text());
  }
  return backup;
}

test.each<[string, number[], number[], string[]]>([
  ['nothing to say of one call and one pause each', [0, 1], [5, 6], []],
  [
    'complains of streams that the backup was not asked for',
    [0],
    [5],
    ['1 of 2 streams without exactly one backup call', '1 pauses measured of 2 streams'],
  ],
  [
    'complains of a stream that it was asked for twice',
    [0, 0, 1],
    [5, 6],
    ['1 of 2 streams without exactly one backup call'],
  ],
  ['complains of a pause that was not measured', [0, 1], [5], ['1 pauses measured of 2 streams']],
])('%s', async (_, asked, pauses, complaints) => {
  const backup = await askedFor(asked);
  expect(unmeasured(crowd, pauses, backup)).toEqual(complaints);
  await backup.close();
});

test.each([
  [true, 'on'],
  [false, undefined],
])('a crowd asks for event ids where it is told to (%s)', async (eventIds, header) => {
  const server = await startSimulator({ name: 'primary' });
  const { signal } = new AbortController();
  const asked = { alias: 'healthy:tokens=1', count: 2, marker: 'm', text: 'any', eventIds };
  const stage: Stage = { profile: 'fast', patienceMs: 5_000, signal };
  await gather([{ url: server.url } as RoleProcess], asked, stage).ended;
  const headers = server.requests.map((one) => one.headers['x-millrace-event-ids']);
  expect(headers).toEqual([header, header]);
  await server.close();
});

test('a quantile of nothing is no number, and no limit holds for it', () => {
  expect(quantile([], 0.95)).toBeNaN();
  expect(quantile([3, 1, 2], 0.5)).toBe(2);
});

test('the totals name what was not run', () => {
  const outcome = {
    verdict: 'pass',
    reason: '',
    attempts: { primary: 1, backup: 0 },
    totalMs: 1,
    longestGapMs: 0,
  } as const;
  const result = (id: string): Result => ({
    crashCase: { kind: 'process', id, title: '', run: async () => outcome },
    outcome,
  });
  const notRun = [{ id: 'M06', title: '', reason: '' }];
  expect(totals([result('M01')], notRun)).toBe('processes: 1 of 1; not run: M06');
  expect(totals([result('S01'), result('M01')], notRun)).toBe(
    [
      'public catalogue: 1 of 1',
      'processes: 1 of 1; not run: M06',
      'all: 2 of 2; not run: M06',
    ].join('\n'),
  );
});
