import { describe, expect, test } from 'vitest';
import type { Attempt } from '../../api/types.ts';
import { trackOf } from './log-items.ts';
import { isLost, withLostEnds } from './lost-attempts.ts';
import { inWords, stripOf } from './strip.ts';

const start = Date.parse('2026-12-01T00:00:00Z');
const time = (ms: number) => new Date(start + ms).toISOString();

const attempt = (number: number, run: number, startedMs: number, endedMs?: number): Attempt => ({
  attempt: number,
  run,
  provider: 'p',
  model: 'm',
  mode: 'start',
  started_at: time(startedMs),
  first_token_at: null,
  ended_at: endedMs === undefined ? null : time(endedMs),
  outcome: endedMs === undefined ? null : 'completed',
  detail: null,
  usage: {
    input_tokens: 0,
    cached_tokens: 0,
    output_tokens: 0,
    reasoning_tokens: 0,
    estimated: false,
  },
  cost: null,
});

const request = (attempts: Attempt[], endedMs: number | undefined) => ({
  created_at: time(0),
  ended_at: endedMs === undefined ? null : time(endedMs),
  status: endedMs === undefined ? ('running' as const) : ('failed' as const),
  queue_ms: 0,
  first_token_ms: null,
  max_gap_ms: null,
  error: null,
  attempts,
});

const said = (ms: number) => ({
  entry: '1-1',
  at: time(ms),
  type: 'chunk',
  data: { choices: [{ index: 0, delta: { content: 'a' } }] },
});

describe('an attempt whose worker was lost', () => {
  test('ends on the strip where the next one began, and says that its end is not recorded', () => {
    const given = request([attempt(1, 1, 0), attempt(2, 2, 700, 3000)], 3000);
    const [lost] = stripOf(given, undefined, start + 3000).attempts;
    expect(lost?.end).toEqual({ at: start + 700, outcome: 'unknown', tone: 'bad' });
    expect(inWords('unknown')).toBe('worker lost, end not recorded');
  });

  test('ends at its last delivery if it was the last, or with the request', () => {
    const given = request([attempt(1, 1, 0)], 3000);
    const track = trackOf([said(200), said(900)]);
    expect(withLostEnds(given, track).attempts[0]?.ended_at).toBe(time(900));
    expect(withLostEnds(given, undefined).attempts[0]?.ended_at).toBe(time(3000));
  });

  test('is known before the request ends, once a later run has begun', () => {
    const given = request([attempt(1, 1, 0), attempt(2, 2, 700)], undefined);
    expect(given.attempts.map((one) => isLost(one, given))).toEqual([true, false]);
  });

  test('is not one of several that race', () => {
    const given = request([attempt(1, 1, 0), attempt(2, 1, 700)], undefined);
    expect(withLostEnds(given, undefined)).toBe(given);
    expect(stripOf(given, undefined, start + 900).attempts[0]?.end).toBeUndefined();
  });
});
