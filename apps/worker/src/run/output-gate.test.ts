import { describe, expect, it } from 'vitest';
import { createHeard } from './journal.fixture.ts';
import { historyOf, said, started, toolCall } from '../continuation/history.fixture.ts';
import { emptyHistory, rememberLine } from '../continuation/history.ts';
import { isNothing } from '../continuation/delivered.ts';

/* What of an attempt reaches the readers, and when. */

const role = { role: 'assistant', content: '' };
const completed = { kind: 'completed', finishReason: 'stop' } as const;
const broken = { kind: 'fault', fault: { code: 'upstream_reset', message: 'm' } } as const;
const place = { provider: 'openai', model: 'gpt-4o' };

const argument = (text: string) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] });

describe('the beginning of an answer', () => {
  it('is held back until something of it is visible, then comes in order', () => {
    const { open, deltas, history } = createHeard();
    const one = open();
    one.say(role);
    one.say({});
    expect(deltas()).toEqual([]);
    expect(isNothing(history.shown)).toBe(true);
    one.say({ content: 'Hi' });
    expect(deltas()).toEqual([role, {}, { content: 'Hi' }]);
    one.say({});
    expect(deltas()).toHaveLength(4);
  });

  it('that was never visible is shown when the answer completes', () => {
    const { answer, open, deltas } = createHeard();
    const one = open();
    one.say(role);
    one.say({}, { finish: 'stop' });
    answer.ended(one.voice, completed);
    expect(deltas()).toEqual([role, { finish: 'stop' }]);
  });

  it('is a plain text where it begins with one', () => {
    const { open, deltas } = createHeard();
    open().plain('Hi');
    expect(deltas()).toEqual([{ content: 'Hi' }]);
  });
});

describe('the floor', () => {
  it('is taken by whoever says something visible first', () => {
    const { answer, open, deltas } = createHeard();
    const slow = open();
    const hedge = open();
    slow.say(role);
    hedge.say(role);
    hedge.say({ content: 'Hi' });
    expect(hedge.told).toEqual(['floor']);
    slow.say({ content: 'Hello' });
    slow.plain(' you');
    expect(slow.told).toEqual(['superseded']);
    expect(answer.ended(slow.voice, completed)).toBe(false);
    expect(deltas()).toEqual([role, { content: 'Hi' }]);
  });

  it('has a line that names who took it, where another would be taken for the speaker', () => {
    const { open, kinds, entries, history, lines } = createHeard();
    const slow = open();
    open();
    slow.say({ ...role, content: 'Hi' });
    slow.plain(' you');
    expect(kinds()).toEqual(['attempt', 'attempt', 'seam', 'chunk', 'chunk']);
    expect(entries()[2]).toEqual({
      kind: 'seam',
      data: { attempt: 1, rung: 'start', offset: 0, outcome: 'passed' },
    });
    const read = emptyHistory();
    for (const line of lines) rememberLine(read, line);
    expect(read).toEqual(history);
    expect(read.speaker?.attempt).toBe(1);
  });

  it.each([
    ['of one attempt', 0],
    ['of the newer one', 1],
  ])('is not worth a line otherwise: %s', (_, others) => {
    const { open, kinds, history, lines } = createHeard();
    for (let i = 0; i < others; i++) open();
    open().say({ ...role, content: 'Hi' });
    expect(kinds()).not.toContain('seam');
    const read = emptyHistory();
    for (const line of lines) rememberLine(read, line);
    expect(read).toEqual(history);
  });

  it('that was given up in mid-answer is taken by no attempt of before', () => {
    const { answer, open, deltas, history } = createHeard();
    const slow = open();
    const hedge = open();
    hedge.say({ ...role, content: 'Hi' });
    answer.ended(hedge.voice, broken, 1);
    slow.say({ ...role, content: 'Hello' });
    expect(slow.told).toEqual(['superseded']);
    expect(deltas()).toEqual([{ ...role, content: 'Hi' }]);
    expect(history.tries.map(({ spoke }) => spoke)).toEqual([false, true]);
  });

  it('is not taken for what readers were told to forget', () => {
    const history = historyOf(started(1, place), said('Hello, you'));
    const { open, deltas } = createHeard({ history, run: 2 });
    const replay = open('replay');
    open('restart');
    replay.say({ ...role, content: 'Hello, you there' });
    expect(replay.told).toEqual(['superseded']);
    expect(deltas()).toEqual([]);
  });

  it('is taken by an answer that only completes', () => {
    const { answer, open, terminal } = createHeard();
    const one = open();
    const other = open();
    other.say({ ...role, content: 'Hi' });
    expect(answer.ended(one.voice, completed)).toBe(false);
    expect(one.told).toEqual(['superseded']);
    expect(answer.ended(other.voice, completed)).toBe(true);
    expect(terminal()).toBe('done');
  });
});

describe('a tool call', () => {
  it('is held until its choice has its finish_reason, and then sent together', () => {
    const { answer, open, deltas } = createHeard();
    const one = open();
    one.say({ ...role, content: 'Wait.' });
    one.say(toolCall);
    one.say(argument('{"kg"'));
    one.say(argument(':3}'));
    expect(deltas()).toEqual([{ ...role, content: 'Wait.' }]);
    one.say({}, { finish: 'tool_calls' });
    expect(deltas().slice(1)).toEqual([
      toolCall,
      argument('{"kg"'),
      argument(':3}'),
      { finish: 'tool_calls' },
    ]);
    expect(answer.ended(one.voice, completed)).toBe(true);
    expect(deltas()).toHaveLength(5);
  });

  it('that breaks off leaves nothing behind, not even the role', () => {
    const { answer, open, deltas, history } = createHeard();
    const one = open();
    one.say(role);
    one.say(toolCall);
    one.say(argument('{"kg"'));
    answer.ended(one.voice, broken, 1);
    expect(deltas()).toEqual([]);
    expect(isNothing(history.shown)).toBe(true);
    expect(history.tries).toMatchObject([{ spoke: false }]);
    expect(history.speaker).toBeUndefined();
  });

  it('takes the floor with its first delta', () => {
    const { open } = createHeard();
    const slow = open();
    const one = open();
    one.say(toolCall);
    expect(one.told).toEqual(['floor']);
    slow.say({ content: 'Hi' });
    expect(slow.told).toEqual(['superseded']);
  });

  it('behind a seam that was not shown is no progress', () => {
    const history = historyOf(started(1, place), said('Wait.'));
    const { answer, open, kinds } = createHeard({ history, run: 2 });
    const one = open('replay');
    one.say({ ...role, content: 'Wait.' });
    one.say(toolCall);
    answer.ended(one.voice, broken, 1);
    expect(kinds()).toEqual(['attempt', 'attempt_end']);
    expect(history.tries[1]).toMatchObject({ spoke: false });
  });

  it('holds what comes after it, so that the order stays', () => {
    const { open, deltas } = createHeard();
    const one = open();
    one.say({ content: 'A' });
    one.say(toolCall);
    one.plain('B');
    one.say({ content: 'C' }, { index: 1 });
    expect(deltas()).toEqual([{ content: 'A' }]);
    one.say({}, { finish: 'tool_calls' });
    expect(deltas()).toEqual([
      { content: 'A' },
      toolCall,
      { content: 'B' },
      { content: 'C' },
      { finish: 'tool_calls' },
    ]);
  });

  it('of one choice waits for that of another, when both have begun', () => {
    const { open, deltas } = createHeard();
    const one = open();
    one.say(toolCall);
    one.say(toolCall, { index: 1 });
    one.say({}, { finish: 'tool_calls' });
    expect(deltas()).toEqual([]);
    one.say({}, { index: 1, finish: 'tool_calls' });
    expect(deltas()).toHaveLength(4);
  });

  it('is streamed as it comes where nothing is to be held', () => {
    const { open, deltas } = createHeard({ holdToolCalls: false });
    const one = open();
    one.say(role);
    one.say(toolCall);
    one.say(argument('{'));
    expect(deltas()).toEqual([role, toolCall, argument('{')]);
  });
});

describe('a log that holds as much as it may', () => {
  it.each([
    ['text', { content: 'x'.repeat(300) }],
    ['fields that no reader sees', { audit: 'x'.repeat(300) }],
  ])('ends the answer that fills it with %s', (_, delta) => {
    const { open, lines } = createHeard({ maxLogChars: 1000 });
    const one = open();
    one.say({ content: 'A' });
    for (let n = 0; n < 20 && one.told.length < 2; n++) one.say(delta);
    expect(one.told).toEqual(['floor', 'response_too_large']);
    expect(lines.join('').length).toBeLessThan(2000);
  });

  it('counts what earlier runs wrote', () => {
    const history = historyOf(started(1, place), said('A'));
    const { open } = createHeard({ history, run: 2, loggedChars: 1000, maxLogChars: 1200 });
    const one = open('continue');
    one.say({ content: ' and more, which needs no seam' });
    expect(one.told.at(-1)).toBe('response_too_large');
  });
});

describe('what is held back', () => {
  const maxHeldChars = 1000;
  const long = argument('x'.repeat(300));

  it('is bounded: a tool call without end', () => {
    const { answer, open, deltas, history } = createHeard({ maxHeldChars });
    const one = open();
    one.say({ content: 'A' });
    one.say(toolCall);
    expect(one.voice.heldChars).toBeGreaterThan(0);
    one.say(long);
    expect(one.voice.heldChars).toBeGreaterThan(300);
    expect(one.told).toEqual(['floor']);
    one.say(long);
    expect(one.told).toEqual(['floor', 'upstream_response_too_large']);
    one.say({}, { finish: 'tool_calls' });
    expect(deltas()).toEqual([{ content: 'A' }]);
    expect(answer.ended(one.voice, broken, 1)).toBe(false);
    expect(history.shown.toolCall).toBe(false);
  });

  it('is bounded: chunks without a word', () => {
    const { open, deltas } = createHeard({ maxHeldChars });
    const one = open();
    for (let n = 0; n < 20 && one.told.length === 0; n++) one.say({});
    expect(one.told).toEqual(['upstream_response_too_large']);
    one.say({ content: 'A' });
    expect(deltas()).toEqual([]);
  });

  it.each([
    ['white space behind a seam', 'continue', { content: ' '.repeat(300) }],
    ['a choice that is ahead of another', 'replay', { content: `Hello${'x'.repeat(300)}` }],
  ] as const)('is bounded: %s', (_, mode, delta) => {
    const two = said('Hi', { index: 1 });
    const shown = mode === 'replay' ? [said('Hello'), two] : [said('Hello')];
    const { open, deltas } = createHeard({
      history: historyOf(started(1, place), ...shown),
      run: 2,
      maxHeldChars,
    });
    const one = open(mode);
    for (let n = 0; n < 20 && one.told.length === 0; n++) one.say(delta);
    expect(one.told).toEqual(['upstream_response_too_large']);
    expect(deltas()).toEqual([]);
  });

  it('is what waits, and not all that was said', () => {
    const { open, deltas } = createHeard({ maxHeldChars });
    const one = open();
    for (let n = 0; n < 20; n++) {
      one.say(toolCall);
      one.say(long);
      one.say({}, { finish: 'tool_calls' });
    }
    expect(one.told).toEqual(['floor']);
    expect(deltas()).toHaveLength(60);
  });
});

describe('behind a seam', () => {
  it('a refusal ends an attempt that had gone on, and the log has its seam once', () => {
    const history = historyOf(started(1, place), said('Hello, you'));
    const { answer, open, deltas, kinds } = createHeard({ history, run: 2 });
    const one = open('continue');
    one.say({ content: ' there' });
    one.say({ refusal: 'No.' });
    expect(one.told).toEqual(['floor', 'no_continuation']);
    expect(answer.ended(one.voice, completed)).toBe(false);
    expect(deltas()).toEqual([{ content: ' there' }]);
    expect(kinds()).toEqual(['attempt', 'seam', 'chunk', 'attempt_end']);
  });

  it('an end without a word is written as what it is, and is none', () => {
    const history = historyOf(started(1, place), said('Hello, you'));
    const { answer, open, entries, terminal } = createHeard({ history, run: 2 });
    const one = open('continue');
    one.say({}, { finish: 'stop' });
    expect(one.told).toEqual(['no_continuation']);
    expect(answer.ended(one.voice, completed)).toBe(false);
    expect(entries()[1]).toMatchObject({ kind: 'seam', data: { outcome: 'empty', offset: 10 } });
    expect(terminal()).toBeUndefined();
  });

  it('what only comes along with the answer is no progress, and waits for some', () => {
    const history = historyOf(started(1, place), said('Hello, '));
    const { answer, open, deltas, kinds } = createHeard({ history, run: 2 });
    const annotated = { annotations: [{ type: 'url_citation' }] };
    const one = open('replay');
    one.say({ content: 'Hello, ', channel: 'final' });
    one.say(annotated);
    answer.ended(one.voice, broken, 1);
    expect(kinds()).toEqual(['attempt', 'attempt_end']);
    expect(history.tries.map(({ spoke }) => spoke)).toEqual([true, false]);

    const other = open('replay');
    other.say({ content: 'Hello, ' });
    other.say(annotated);
    other.say({ content: 'you' });
    expect(deltas()).toEqual([annotated, { content: 'you' }]);
    expect(history.tries.at(-1)).toMatchObject({ spoke: true, advanced: true });
  });
});
