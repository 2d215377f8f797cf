import { expect, it } from 'vitest';
import { failoverGoals } from './figures.ts';
import type { Round } from './figures.ts';
import { bucketsOf } from './report.ts';
import { outcomeOf, rescueOf, shownBeyond, shownByNextRun } from './rescue.ts';
import type { Incident } from './rescue.ts';

const round = (killedNext: number[], wrong: string[] = []): Round => ({
  round: 1,
  values: { killedNext },
  streams: killedNext.length + wrong.length,
  wrong,
  cpu: { cut: { ours: 0, others: 0 }, workers: { ours: 0, others: 0 } },
});

const verdictOf = (rounds: Round[], text: RegExp): string | undefined =>
  failoverGoals(rounds).find((goal) => text.test(goal.text))?.verdict;

it('a goal is missed when a single round misses it', () => {
  const good = round(Array.from({ length: 100 }, () => 90));
  const slow = round(Array.from({ length: 100 }, (_, i) => (i < 94 ? 10 : 110)));
  expect(verdictOf([good, good], /killed: next chunk p95/)).toBe('met');
  expect(verdictOf([good, slow], /killed: next chunk p95/)).toBe('missed');
  expect(verdictOf([good, slow], /killed: next chunk max/)).toBe('met');
});

it('what was not measured is no success, in one round or in all', () => {
  expect(verdictOf([round([1])], /hung: next chunk/)).toBe('not measured');
  expect(verdictOf([round([1]), round([])], /killed: next chunk max/)).toBe('missed');
});

it('one wrong answer misses the goal of whole answers', () => {
  expect(verdictOf([round([1])], /every answer/)).toBe('met');
  expect(verdictOf([round([1], ['garbled'])], /every answer/)).toBe('missed');
});

it('the histogram counts each value once, also beyond its last bound', () => {
  expect(bucketsOf([0.1, 2, 2.1, 3_000, 3_001])).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 1, 1]);
});

const chunk = (at: number, id: string, content: string) => ({
  at,
  event: 'message',
  id,
  data: JSON.stringify({ choices: [{ delta: { content } }] }),
});

it("the next chunk is the first with text beyond what was shown, or of another run's", () => {
  const events = [chunk(1, '1-1', 'one'), chunk(2, '1-2', ' two'), chunk(3, '2-1', '')];
  expect(shownBeyond(events, 3)).toBe(2);
  expect(shownBeyond(events, 7)).toBeUndefined();
  expect(shownByNextRun(events)).toBeUndefined();
  expect(shownByNextRun([...events, chunk(4, '2-2', ' three')])).toBe(4);
});

it("the backup's own time is not the reader's, and a second request to it is wrong", () => {
  const incident = {
    at: 100,
    told: { verdict: 'pass' },
    calls: [{ arrivedAt: 104 }],
    times: () => [204, 304, 404],
    shownAt: 310,
  } as unknown as Incident;
  const rescue = rescueOf({ ...incident, newTokens: 2 });
  expect(rescue).toEqual({ askedMs: 4, nextMs: 10 });
  const twice = rescueOf({ ...incident, calls: [...incident.calls, ...incident.calls] });
  const figures = { asked: 'cutPrefillAsked', next: 'cutPrefillNext' } as const;
  const outcome = outcomeOf([
    { name: 'a', figures, rescue },
    { name: 'b', figures, rescue: twice },
  ]);
  expect(outcome).toEqual({
    values: { cutPrefillAsked: [4], cutPrefillNext: [10] },
    streams: 2,
    wrong: ['b: the backup was asked 2 times'],
  });
});
