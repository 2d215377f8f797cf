import { describe, expect, test } from 'vitest';
import { framesAt, textPartsOf, trackOf } from './log-items.ts';
import type { LogItem } from './log-items.ts';

const start = Date.parse('2026-12-01T00:00:00Z');
const item = (ms: number, type: string, data: unknown): LogItem => ({
  entry: '1-1',
  at: new Date(start + ms).toISOString(),
  type,
  data,
});
const chunk = (ms: number, delta: unknown) => item(ms, 'chunk', { choices: [{ index: 0, delta }] });
const textOf = (items: LogItem[]) =>
  textPartsOf(trackOf(items)).map(({ kind, text }) => [kind, text]);

describe('the answer in a log', () => {
  test('has text, reasoning, refusals and tool calls, each as its kind', () => {
    expect(
      textOf([
        chunk(0, { role: 'assistant', content: '' }),
        chunk(1, { reasoning_content: 'hm' }),
        chunk(2, { content: 'a' }),
        chunk(3, { content: 'b' }),
        chunk(4, { tool_calls: [{ function: { name: 'find', arguments: '' } }] }),
        chunk(5, { tool_calls: [{ function: { arguments: '{}' } }] }),
        chunk(6, { refusal: 'no' }),
      ]),
    ).toEqual([
      ['reasoning', 'hm'],
      ['text', 'ab'],
      ['tool', 'find {}'],
      ['text', 'no'],
    ]);
  });

  test('is marked where another attempt continues it', () => {
    const track = trackOf([
      item(0, 'run', { run: 1, worker: 'worker-a' }),
      item(0, 'attempt', { attempt: 1 }),
      chunk(10, { content: 'a' }),
      item(20, 'attempt_ended', { attempt: 1, outcome: 'upstream_reset' }),
      item(21, 'attempt', { attempt: 2 }),
      item(30, 'seam', { attempt: 2, outcome: 'diverged' }),
      item(31, 'attempt', { attempt: 3 }),
      item(40, 'seam', { attempt: 3, outcome: 'passed' }),
      // Of a contender that lost.
      item(41, 'seam', { attempt: 2, outcome: 'diverged' }),
      chunk(50, { content: 'b' }),
      item(60, 'done', {}),
    ]);
    expect(track.seams).toEqual([{ frame: 1, attempt: 3, from: 1 }]);
    expect(track.endedAt).toBe(start + 60);
    expect(track.workers.get(1)).toBe('worker-a');
    expect(textPartsOf(track)).toMatchObject([
      { text: 'a', attempt: 1, seam: undefined },
      { text: 'b', attempt: 3, seam: { from: 1 } },
    ]);
  });

  test('that began anew shows what readers threw away', () => {
    const parts = textPartsOf(
      trackOf([
        item(0, 'attempt', { attempt: 1 }),
        chunk(10, { content: 'old' }),
        item(20, 'reset', { reason: 'restart' }),
        item(21, 'attempt', { attempt: 2 }),
        chunk(30, { content: 'new' }),
      ]),
    );
    expect(parts.map(({ text, isVoid, isReset }) => [text, isVoid, isReset])).toEqual([
      ['old', true, false],
      ['new', false, true],
    ]);
  });

  test('of a call without a stream is its whole text', () => {
    const body = JSON.stringify({ choices: [{ message: { content: 'all' } }] });
    expect(textOf([item(0, 'result', { contentType: 'application/json', body })])).toEqual([
      ['text', 'all'],
    ]);
    expect(textOf([item(0, 'result', { body: '<h1>not JSON' })])).toEqual([
      ['text', '<h1>not JSON'],
    ]);
  });

  test('is the first of several choices', () => {
    const track = trackOf([
      item(0, 'chunk', {
        choices: [
          { index: 1, delta: { content: 'x' } },
          { index: 0, delta: { content: 'y' } },
        ],
      }),
    ]);
    expect(track.hasMoreChoices).toBe(true);
    expect(track.frames.map(({ text }) => text)).toEqual(['y']);
  });

  test.each([
    null,
    'text',
    7,
    [],
    {},
    { choices: 'x' },
    { choices: [null] },
    { choices: [{ delta: 3 }] },
  ])('has nothing to show for a chunk of %o', (data) => {
    expect(trackOf([item(0, 'chunk', data), item(1, 'unknown', data)]).frames).toEqual([]);
  });

  test('never goes back in time', () => {
    const track = trackOf([chunk(10, { content: 'a' }), chunk(5, { content: 'b' })]);
    expect(track.frames.map(({ at }) => at - start)).toEqual([10, 10]);
  });

  test('can be asked how far it was at a moment', () => {
    const { frames } = trackOf([0, 10, 10, 20].map((ms) => chunk(ms, { content: 'x' })));
    expect([-1, 0, 9, 10, 25].map((ms) => framesAt(frames, start + ms))).toEqual([0, 1, 1, 3, 4]);
  });
});
