import { describe, expect, test } from 'vitest';
import type { Attempt, RequestView } from '../../api/types.ts';
import { axisOf, rhythmOf } from './axis.ts';
import { deliveriesOf, spread } from './deliveries.ts';
import { trackOf } from './log-items.ts';
import type { LogItem } from './log-items.ts';
import { stripOf } from './strip.ts';
import type { Segment } from './strip.ts';

const start = Date.parse('2026-12-01T00:00:00Z');
const time = (ms: number) => new Date(start + ms).toISOString();

function attempt(number: number, values: Partial<Attempt> & { at: number[] }): Attempt {
  const [started = 0, token, ended] = values.at;
  return {
    attempt: number,
    run: 1,
    provider: 'p',
    model: 'm',
    mode: number === 1 ? 'start' : 'anchor',
    started_at: time(started),
    first_token_at: token === undefined || Number.isNaN(token) ? null : time(token),
    ended_at: ended === undefined ? null : time(ended),
    outcome: ended === undefined ? null : 'completed',
    detail: null,
    usage: {
      input_tokens: 0,
      cached_tokens: 0,
      output_tokens: 0,
      reasoning_tokens: 0,
      estimated: false,
    },
    cost: null,
    ...values,
  };
}

type Input = Parameters<typeof stripOf>[0];

function request(attempts: Attempt[], values: Partial<RequestView> = {}): Input {
  return {
    created_at: time(0),
    ended_at: time(3000),
    status: 'completed',
    queue_ms: 20,
    first_token_ms: 100,
    max_gap_ms: null,
    error: null,
    attempts,
    ...values,
  };
}

const shown = (segments: readonly Segment[]) =>
  segments.map(({ kind, from, to }) => `${kind} ${from - start}-${to - start}`);

const chunk = (ms: number | null, text: string): LogItem => ({
  entry: '1-1',
  at: ms === null ? null : time(ms),
  type: 'chunk',
  data: { choices: [{ index: 0, delta: { content: text } }] },
});
const line = (ms: number | null, type: string, data: unknown): LogItem => ({
  entry: '1-1',
  at: ms === null ? null : time(ms),
  type,
  data,
});

const rescued = request(
  [
    attempt(1, { at: [20, 100, 1000], outcome: 'upstream_reset' }),
    attempt(2, { at: [1010, 1080, 3000] }),
  ],
  { max_gap_ms: 400 },
);

describe('the strip of a request', () => {
  test('has queue wait, connect, tokens and end for an answer without a fault', () => {
    const strip = stripOf(request([attempt(1, { at: [20, 100, 3000] })]), undefined, 0);
    expect(shown(strip.reader.segments)).toEqual(['queue 0-20', 'wait 20-100', 'tokens 100-3000']);
    expect(shown(strip.attempts[0]?.segments ?? [])).toEqual(['connect 20-100', 'tokens 100-3000']);
    expect(strip.reader.end).toEqual({ at: start + 3000, outcome: 'completed', tone: 'good' });
    expect(strip.seams).toEqual([]);
  });

  test('has the gap of the ledger at the seam if there is one rescue', () => {
    const strip = stripOf(rescued, undefined, 0);
    expect(shown(strip.reader.segments)).toEqual([
      'queue 0-20',
      'wait 20-100',
      'tokens 100-1000',
      'gap 1000-1400',
      'continued 1400-3000',
    ]);
    // The second attempt repeats what readers have, until its seam.
    expect(shown(strip.attempts[1]?.segments ?? [])).toEqual([
      'connect 1010-1080',
      'held 1080-1400',
      'continued 1400-3000',
    ]);
    expect(strip.attempts[0]?.end).toMatchObject({ outcome: 'upstream_reset', tone: 'bad' });
    expect(strip.seams).toMatchObject([
      { number: 1, gapMs: 400, isEstimate: false, cut: { attempt: 1 }, next: { attempt: 2 } },
    ]);
  });

  test('has the silence of an attempt that stalled, from its last text to its end', () => {
    const stalled = request(
      [
        attempt(1, { at: [20, 100, 2000], outcome: 'upstream_idle_timeout' }),
        attempt(2, { at: [2000, 2100, 3000], mode: 'continue' }),
      ],
      { max_gap_ms: 1600 },
    );
    const strip = stripOf(
      stalled,
      trackOf([
        chunk(100, 'a'),
        chunk(500, 'b'),
        line(2050, 'seam', { attempt: 2, outcome: 'passed' }),
        chunk(2100, 'c'),
        chunk(3000, 'd'),
      ]),
      0,
    );
    expect(shown(strip.attempts[0]?.segments ?? [])).toEqual([
      'connect 20-100',
      'tokens 100-500',
      'silent 500-2000',
    ]);
    expect(strip.seams).toMatchObject([{ gapMs: 1600, from: start + 500, to: start + 2100 }]);
  });

  test('estimates the gaps of several rescues, and says so', () => {
    const strip = stripOf(
      request(
        [
          attempt(1, { at: [20, 100, 500], outcome: 'upstream_reset' }),
          attempt(2, { at: [510, 600, 1000], outcome: 'worker_lost' }),
          attempt(3, { at: [1100, 1200, 3000], run: 2 }),
        ],
        { max_gap_ms: 400 },
      ),
      undefined,
      0,
    );
    expect(strip.seams.map(({ gapMs, isEstimate }) => [gapMs, isEstimate])).toEqual([
      [100, true],
      [200, true],
    ]);
  });

  test('draws attempts that gave no text, and text that readers never saw', () => {
    const strip = stripOf(
      request([
        attempt(1, { at: [20, Number.NaN, 60], outcome: 'upstream_overloaded' }),
        attempt(2, { at: [70, 100, 3000] }),
        attempt(3, { at: [80, 200, 220], outcome: 'superseded' }),
      ]),
      undefined,
      0,
    );
    expect(shown(strip.attempts[0]?.segments ?? [])).toEqual(['connect 20-60']);
    expect(shown(strip.attempts[2]?.segments ?? [])).toEqual(['connect 80-200', 'unused 200-220']);
    expect(strip.attempts[2]?.end?.tone).toBe('quiet');
    expect(strip.seams).toEqual([]);
  });

  test('reaches until now while it runs, and while it waits', () => {
    const open = { status: 'running', ended_at: null } as const;
    const running = stripOf(request([attempt(1, { at: [20, 100] })], open), undefined, start + 700);
    expect(shown(running.reader.segments).at(-1)).toBe('tokens 100-700');
    expect(running.reader.end).toBeUndefined();
    // The page's clock is ahead of the answer that says how long it has waited.
    const waiting = { ...open, status: 'queued', queue_ms: 680, first_token_ms: null } as const;
    const queued = stripOf(request([], waiting), undefined, start + 700);
    expect(shown(queued.reader.segments)).toEqual(['queue 0-700']);
  });

  test('shows a gap while it grows, with why the answer stopped if that is known', () => {
    const track = trackOf([line(20, 'attempt', { attempt: 1 }), chunk(100, 'a'), chunk(900, 'b')]);
    const open = { status: 'running', ended_at: null, first_token_ms: 100 } as const;
    const one = attempt(1, { at: [20, 100] });
    const flowing = stripOf(request([one], open), track, start + 1500);
    expect(shown(flowing.reader.segments).at(-1)).toBe('tokens 100-1500');
    expect(flowing.seams).toEqual([]);
    const silent = stripOf(request([one], open), track, start + 1500, true);
    expect(shown(silent.reader.segments).slice(-2)).toEqual(['tokens 100-900', 'gap 900-1500']);
    expect(shown(silent.attempts[0]?.segments ?? []).at(-1)).toBe('silent 900-1500');
    expect(silent.seams).toMatchObject([
      { number: 1, isOpen: true, gapMs: 600, cut: undefined, next: undefined },
    ]);
    const cut = stripOf(
      request(
        [
          attempt(1, { at: [20, 100, 1000], outcome: 'upstream_reset' }),
          attempt(2, { at: [1010], outcome: 'running' }),
        ],
        open,
      ),
      track,
      start + 1500,
    );
    expect(cut.seams).toMatchObject([
      { isOpen: true, gapMs: 600, cut: { attempt: 1 }, next: { attempt: 2 } },
    ]);
  });

  test('finds the first token of an attempt whose worker died in its text', () => {
    const lost = request([
      attempt(1, { at: [20, Number.NaN, 1000], outcome: 'worker_lost' }),
      attempt(2, { at: [1010, Number.NaN], run: 2, outcome: 'running' }),
    ]);
    const track = trackOf([
      line(20, 'attempt', { attempt: 1 }),
      chunk(100, 'a'),
      chunk(900, 'b'),
      line(1010, 'attempt', { attempt: 2 }),
      line(1300, 'seam', { attempt: 2, outcome: 'passed' }),
      chunk(1300, 'c'),
    ]);
    const open = { ...lost, status: 'running', ended_at: null } as const;
    const strip = stripOf(open, track, start + 2000);
    expect(strip.attempts.map(({ segments }) => shown(segments))).toEqual([
      ['connect 20-100', 'tokens 100-900', 'silent 900-1000'],
      ['connect 1010-1300', 'continued 1300-2000'],
    ]);
    expect(strip.attempts[1]?.end).toBeUndefined();
    expect(strip.seams).toMatchObject([{ gapMs: 400, cut: { outcome: 'worker_lost' } }]);
  });

  test('ends with the error of a request that failed in mid-answer', () => {
    const strip = stripOf(
      request([attempt(1, { at: [20, 100, 900], outcome: 'upstream_reset' })], {
        status: 'failed',
        ended_at: time(1000),
        error: { code: 'stream_lost', message: 'Lost.' },
      }),
      undefined,
      0,
    );
    expect(shown(strip.reader.segments).at(-1)).toBe('wait 900-1000');
    expect(strip.reader.end).toMatchObject({ outcome: 'stream_lost', tone: 'bad' });
  });

  test('of a request that was cancelled in the queue has no attempt', () => {
    const cancelled = { status: 'cancelled', queue_ms: null, first_token_ms: null } as const;
    const strip = stripOf(request([], cancelled), undefined, 0);
    expect(strip.attempts).toEqual([]);
    expect(shown(strip.reader.segments)).toEqual(['queue 0-3000']);
  });
});

describe('a log without times', () => {
  test('is spread over the times of its attempts, with the gap at the seam', () => {
    const track = trackOf([
      line(0, 'attempt', { attempt: 1 }),
      chunk(null, 'a'),
      chunk(null, 'b'),
      line(1010, 'attempt', { attempt: 2 }),
      line(null, 'seam', { attempt: 2, outcome: 'passed' }),
      chunk(null, 'c'),
      chunk(null, 'd'),
      chunk(null, 'e'),
    ]);
    expect(track.isTimed).toBe(false);
    const { frames } = spread(track, deliveriesOf(rescued, track, 0));
    expect(frames.map(({ at, text }) => `${text} ${at - start}`)).toEqual([
      'a 100',
      'b 1000',
      'c 1400',
      'd 2200',
      'e 3000',
    ]);
  });
});

describe('the axis', () => {
  test('has round ticks', () => {
    const axis = axisOf(0, 3200, 20);
    expect(axis.ticks.map(({ label }) => label)).toEqual(['0', '1 s', '2 s', '3 s']);
    expect(axisOf(0, 900, 0).ticks.map(({ label }) => label)).toEqual([
      '0',
      '200 ms',
      '400 ms',
      '600 ms',
      '800 ms',
    ]);
    expect(axisOf(0, 4 * 3_600_000, 0).ticks.map(({ label }) => label)).toEqual([
      '0',
      '1 h',
      '2 h',
      '3 h',
      '4 h',
    ]);
  });

  test('draws a long wait in the queue short, and finds times on both sides of the break', () => {
    const axis = axisOf(0, 602_000, 600_000);
    expect(axis.brokenUntil).toBe(14);
    expect(axis.place(300_000)).toBeCloseTo(7);
    expect(axis.place(601_000)).toBeCloseTo(57);
    for (const at of [0, 100_000, 600_000, 601_500]) {
      expect(axis.at(axis.place(at))).toBeCloseTo(at);
    }
    expect(axis.ticks.every(({ at }) => at >= 600_000)).toBe(true);
  });

  test('bounds what lies outside, and the smallest request has a width', () => {
    const axis = axisOf(0, 0, 0);
    expect(axis.place(-5)).toBe(0);
    expect(axis.place(50)).toBeLessThanOrEqual(100);
  });

  test('shows the rhythm of the text', () => {
    const axis = axisOf(0, 1000, 0);
    const frames = [
      { at: 0, text: 'ab', attempt: 1 },
      { at: 990, text: 'abcd', attempt: 2 },
      { at: 1000, text: '', attempt: 2 },
    ];
    expect(rhythmOf(frames, axis, 10)).toEqual([
      { place: 0, share: 0.5, attempt: 1 },
      { place: 90, share: 1, attempt: 2 },
    ]);
  });
});
