import { describe, expect, it } from 'vitest';
import {
  chunk,
  ended,
  historyOf,
  reset,
  said,
  seam,
  deliveredOf,
  started,
  toolCall,
} from './history.fixture.ts';
import { isProgress, isExhausted, maxCallsWithoutProgress, progressOf } from './progress.ts';

const place = { provider: 'one', model: 'a' };

describe('progress', () => {
  it.each([
    ['a character', { content: 'a' }],
    ['a thought', { reasoning: 'a' }],
    ['a part', { reasoning_details: [{ type: 'reasoning.encrypted', data: 'A' }] }],
    ['a refusal', { refusal: 'a' }],
    ['a tool call', toolCall],
  ])('is %s', (_, delta) => {
    expect(isProgress(chunk(delta))).toBe(true);
    expect(progressOf(deliveredOf(chunk(delta)))).toBeGreaterThan(0);
  });

  it('is an end', () => {
    expect(isProgress(chunk({}, { finish: 'stop' }))).toBe(true);
    expect(progressOf(deliveredOf(chunk({}, { finish: 'stop' })))).toBeGreaterThan(0);
  });

  it.each([
    ['a role', { role: 'assistant', content: '' }],
    ['an annotation', { annotations: [{ type: 'url_citation' }] }],
    ['a vendor field', { channel: 'analysis', token_id: 7, executed_tools: [{ index: 0 }] }],
    ['an empty part', { reasoning_details: [{ type: 'reasoning.text', text: '', index: 0 }] }],
    ['no parts', { reasoning_details: [], content: null }],
  ])('is not %s', (_, delta) => {
    expect(isProgress(chunk(delta))).toBe(false);
    expect(progressOf(deliveredOf(chunk(delta)))).toBe(0);
  });
});

describe('the upstream calls of a request', () => {
  const replays = (count: number, lines: (n: number) => ReturnType<typeof said>[]) =>
    Array.from({ length: count }, (_, i) => i + 2).flatMap((n) => [
      started(n, place, 'replay'),
      seam(n, 'replay'),
      ...lines(n),
      ended(n, 'upstream_reset', 1),
    ]);
  const first = [started(1, place), said('Hello'), ended(1, 'upstream_reset', 1)];

  it('are not used up by the moves of an operator', () => {
    const moves = Array.from({ length: 2 * maxCallsWithoutProgress }, (_, i) => [
      started(i + 1, place),
      ended(i + 1, 'moved', 1),
    ]).flat();
    expect(isExhausted(historyOf(...moves).attempts)).toBe(false);
  });

  it('count as a rescue when an attempt broke off, and not when an operator moved it', () => {
    const continued = (outcome: 'upstream_reset' | 'moved') =>
      historyOf(
        started(1, place),
        said('Hello'),
        ended(1, outcome, 1),
        started(2, place, 'continue'),
        seam(2, 'continue'),
        said(' world'),
      ).rescues;
    expect([continued('upstream_reset'), continued('moved')]).toEqual([1, 0]);
  });

  it('are spent after ten that bring nothing, whatever comes along', () => {
    const annotated = () => [said({ annotations: [{ type: 'url_citation' }] })];
    for (const calls of [maxCallsWithoutProgress - 1, maxCallsWithoutProgress]) {
      const { attempts } = historyOf(...first, ...replays(calls - 1, annotated));
      expect(attempts).toHaveLength(calls);
      expect(isExhausted(attempts)).toBe(calls === maxCallsWithoutProgress);
    }
    const silent = Array.from({ length: maxCallsWithoutProgress }, (_, i) => started(i + 1, place));
    expect(isExhausted(historyOf(...silent).attempts)).toBe(true);
    expect(isExhausted(historyOf(...silent.slice(1)).attempts)).toBe(false);
  });

  it('may be more where each brings a word', () => {
    const { attempts } = historyOf(...first, ...replays(30, () => [said(' more')]));
    expect(isExhausted(attempts)).toBe(false);
  });

  it('are not more because readers were told to forget what comes again', () => {
    const restarts = Array.from({ length: 9 }, (_, i) => i + 2).flatMap((n) => [
      reset,
      started(n, place, 'restart'),
      said('Hello'),
      ended(n, 'upstream_reset', 1),
    ]);
    expect(isExhausted(historyOf(...first, ...restarts).attempts)).toBe(true);
    expect(
      isExhausted(
        historyOf(...first, ...restarts, reset, started(11, place, 'restart'), said('Hello you'))
          .attempts,
      ),
    ).toBe(false);
  });
});
