import { describe, expect, it } from 'vitest';
import { createJournalRig } from './journal.fixture.ts';
import { historyOf, said, started, toolCall } from '../continuation/history.fixture.ts';
import { emptyHistory, applyLine } from '../continuation/history.ts';
import { isEmpty } from '../continuation/delivered.ts';

/* What of an attempt reaches the readers, and when. */

const role = { role: 'assistant', content: '' };
const completed = { kind: 'completed', finishReason: 'stop' } as const;
const broken = { kind: 'fault', fault: { code: 'upstream_reset', message: 'm' } } as const;
const place = { provider: 'openai', model: 'gpt-4o' };

const argument = (text: string) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] });

describe('the beginning of an answer', () => {
  it('is held back until something of it is visible, then comes in order', () => {
    const { open, deltas, history } = createJournalRig();
    const one = open();
    one.chunk(role);
    one.chunk({});
    expect(deltas()).toEqual([]);
    expect(isEmpty(history.delivered)).toBe(true);
    one.chunk({ content: 'Hi' });
    expect(deltas()).toEqual([role, {}, { content: 'Hi' }]);
    one.chunk({});
    expect(deltas()).toHaveLength(4);
  });

  it('that was never visible is shown when the answer completes', () => {
    const { journal, open, deltas } = createJournalRig();
    const one = open();
    one.chunk(role);
    one.chunk({}, { finish: 'stop' });
    journal.ended(one.gate, completed);
    expect(deltas()).toEqual([role, { finish: 'stop' }]);
  });

  it('is a plain text where it begins with one', () => {
    const { open, deltas } = createJournalRig();
    open().text('Hi');
    expect(deltas()).toEqual([{ content: 'Hi' }]);
  });
});

describe('the commit', () => {
  it('goes to the attempt that first has something visible', () => {
    const { journal, open, deltas } = createJournalRig();
    const slow = open();
    const hedge = open();
    slow.chunk(role);
    hedge.chunk(role);
    hedge.chunk({ content: 'Hi' });
    expect(hedge.events).toEqual(['commit']);
    slow.chunk({ content: 'Hello' });
    slow.text(' you');
    expect(slow.events).toEqual(['superseded']);
    expect(journal.ended(slow.gate, completed)).toBe(false);
    expect(deltas()).toEqual([role, { content: 'Hi' }]);
  });

  it('has a line that names who took it, where another would be taken for the speaker', () => {
    const { open, kinds, entries, history, lines } = createJournalRig();
    const slow = open();
    open();
    slow.chunk({ ...role, content: 'Hi' });
    slow.text(' you');
    expect(kinds()).toEqual(['attempt', 'attempt', 'seam', 'chunk', 'chunk']);
    expect(entries()[2]).toEqual({
      kind: 'seam',
      data: { attempt: 1, rung: 'start', offset: 0, outcome: 'passed' },
    });
    const read = emptyHistory();
    for (const line of lines) applyLine(read, line);
    expect(read).toEqual(history);
    expect(read.source?.attempt).toBe(1);
  });

  it.each([
    ['of one attempt', 0],
    ['of the newer one', 1],
  ])('is not worth a line otherwise: %s', (_, others) => {
    const { open, kinds, history, lines } = createJournalRig();
    for (let i = 0; i < others; i++) open();
    open().chunk({ ...role, content: 'Hi' });
    expect(kinds()).not.toContain('seam');
    const read = emptyHistory();
    for (const line of lines) applyLine(read, line);
    expect(read).toEqual(history);
  });

  it('that was given up in mid-answer is taken by no attempt of before', () => {
    const { journal, open, deltas, history } = createJournalRig();
    const slow = open();
    const hedge = open();
    hedge.chunk({ ...role, content: 'Hi' });
    journal.ended(hedge.gate, broken, 1);
    slow.chunk({ ...role, content: 'Hello' });
    expect(slow.events).toEqual(['superseded']);
    expect(deltas()).toEqual([{ ...role, content: 'Hi' }]);
    expect(history.attempts.map(({ wasDelivered }) => wasDelivered)).toEqual([false, true]);
  });

  it('is not taken for what readers were told to forget', () => {
    const history = historyOf(started(1, place), said('Hello, you'));
    const { open, deltas } = createJournalRig({ history, run: 2 });
    const replay = open('replay');
    open('restart');
    replay.chunk({ ...role, content: 'Hello, you there' });
    expect(replay.events).toEqual(['superseded']);
    expect(deltas()).toEqual([]);
  });

  it('is taken by an answer that only completes', () => {
    const { journal, open, terminal } = createJournalRig();
    const one = open();
    const other = open();
    other.chunk({ ...role, content: 'Hi' });
    expect(journal.ended(one.gate, completed)).toBe(false);
    expect(one.events).toEqual(['superseded']);
    expect(journal.ended(other.gate, completed)).toBe(true);
    expect(terminal()).toBe('done');
  });
});

describe('a tool call', () => {
  it('is held until its choice has its finish_reason, and then sent together', () => {
    const { journal, open, deltas } = createJournalRig();
    const one = open();
    one.chunk({ ...role, content: 'Wait.' });
    one.chunk(toolCall);
    one.chunk(argument('{"kg"'));
    one.chunk(argument(':3}'));
    expect(deltas()).toEqual([{ ...role, content: 'Wait.' }]);
    one.chunk({}, { finish: 'tool_calls' });
    expect(deltas().slice(1)).toEqual([
      toolCall,
      argument('{"kg"'),
      argument(':3}'),
      { finish: 'tool_calls' },
    ]);
    expect(journal.ended(one.gate, completed)).toBe(true);
    expect(deltas()).toHaveLength(5);
  });

  it('that breaks off leaves nothing behind, not even the role', () => {
    const { journal, open, deltas, history } = createJournalRig();
    const one = open();
    one.chunk(role);
    one.chunk(toolCall);
    one.chunk(argument('{"kg"'));
    journal.ended(one.gate, broken, 1);
    expect(deltas()).toEqual([]);
    expect(isEmpty(history.delivered)).toBe(true);
    expect(history.attempts).toMatchObject([{ wasDelivered: false }]);
    expect(history.source).toBeUndefined();
  });

  it('commits with its first delta', () => {
    const { open } = createJournalRig();
    const slow = open();
    const one = open();
    one.chunk(toolCall);
    expect(one.events).toEqual(['commit']);
    slow.chunk({ content: 'Hi' });
    expect(slow.events).toEqual(['superseded']);
  });

  it('behind a seam that was not shown is no progress', () => {
    const history = historyOf(started(1, place), said('Wait.'));
    const { journal, open, kinds } = createJournalRig({ history, run: 2 });
    const one = open('replay');
    one.chunk({ ...role, content: 'Wait.' });
    one.chunk(toolCall);
    journal.ended(one.gate, broken, 1);
    expect(kinds()).toEqual(['attempt', 'attempt_end']);
    expect(history.attempts[1]).toMatchObject({ wasDelivered: false });
  });

  it('holds what comes after it, so that the order stays', () => {
    const { open, deltas } = createJournalRig();
    const one = open();
    one.chunk({ content: 'A' });
    one.chunk(toolCall);
    one.text('B');
    one.chunk({ content: 'C' }, { index: 1 });
    expect(deltas()).toEqual([{ content: 'A' }]);
    one.chunk({}, { finish: 'tool_calls' });
    expect(deltas()).toEqual([
      { content: 'A' },
      toolCall,
      { content: 'B' },
      { content: 'C' },
      { finish: 'tool_calls' },
    ]);
  });

  it('of one choice waits for that of another, when both have begun', () => {
    const { open, deltas } = createJournalRig();
    const one = open();
    one.chunk(toolCall);
    one.chunk(toolCall, { index: 1 });
    one.chunk({}, { finish: 'tool_calls' });
    expect(deltas()).toEqual([]);
    one.chunk({}, { index: 1, finish: 'tool_calls' });
    expect(deltas()).toHaveLength(4);
  });

  it('is streamed as it comes where nothing is to be held', () => {
    const { open, deltas } = createJournalRig({ holdToolCalls: false });
    const one = open();
    one.chunk(role);
    one.chunk(toolCall);
    one.chunk(argument('{'));
    expect(deltas()).toEqual([role, toolCall, argument('{')]);
  });
});

describe('a log that holds as much as it may', () => {
  it.each([
    ['text', { content: 'x'.repeat(300) }],
    ['fields that no reader sees', { audit: 'x'.repeat(300) }],
  ])('ends the answer that fills it with %s', (_, delta) => {
    const { open, lines } = createJournalRig({ maxLogChars: 1000 });
    const one = open();
    one.chunk({ content: 'A' });
    for (let n = 0; n < 20 && one.events.length < 2; n++) one.chunk(delta);
    expect(one.events).toEqual(['commit', 'response_too_large']);
    expect(lines.join('').length).toBeLessThan(2000);
  });

  it('counts what earlier runs wrote', () => {
    const history = historyOf(started(1, place), said('A'));
    const { open } = createJournalRig({ history, run: 2, loggedChars: 1000, maxLogChars: 1200 });
    const one = open('continue');
    one.chunk({ content: ' and more, which needs no seam' });
    expect(one.events.at(-1)).toBe('response_too_large');
  });
});

describe('what is held back', () => {
  const maxHeldChars = 1000;
  const long = argument('x'.repeat(300));

  it('is bounded: a tool call without end', () => {
    const { journal, open, deltas, history } = createJournalRig({ maxHeldChars });
    const one = open();
    one.chunk({ content: 'A' });
    one.chunk(toolCall);
    expect(one.gate.heldChars).toBeGreaterThan(0);
    one.chunk(long);
    expect(one.gate.heldChars).toBeGreaterThan(300);
    expect(one.events).toEqual(['commit']);
    one.chunk(long);
    expect(one.events).toEqual(['commit', 'upstream_response_too_large']);
    one.chunk({}, { finish: 'tool_calls' });
    expect(deltas()).toEqual([{ content: 'A' }]);
    expect(journal.ended(one.gate, broken, 1)).toBe(false);
    expect(history.delivered.toolCall).toBe(false);
  });

  it('is bounded: chunks without a word', () => {
    const { open, deltas } = createJournalRig({ maxHeldChars });
    const one = open();
    for (let n = 0; n < 20 && one.events.length === 0; n++) one.chunk({});
    expect(one.events).toEqual(['upstream_response_too_large']);
    one.chunk({ content: 'A' });
    expect(deltas()).toEqual([]);
  });

  it.each([
    ['white space behind a seam', 'continue', { content: ' '.repeat(300) }],
    ['a choice that is ahead of another', 'replay', { content: `Hello${'x'.repeat(300)}` }],
  ] as const)('is bounded: %s', (_, mode, delta) => {
    const two = said('Hi', { index: 1 });
    const shown = mode === 'replay' ? [said('Hello'), two] : [said('Hello')];
    const { open, deltas } = createJournalRig({
      history: historyOf(started(1, place), ...shown),
      run: 2,
      maxHeldChars,
    });
    const one = open(mode);
    for (let n = 0; n < 20 && one.events.length === 0; n++) one.chunk(delta);
    expect(one.events).toEqual(['upstream_response_too_large']);
    expect(deltas()).toEqual([]);
  });

  it('is what waits, and not all that was said', () => {
    const { open, deltas } = createJournalRig({ maxHeldChars });
    const one = open();
    for (let n = 0; n < 20; n++) {
      one.chunk(toolCall);
      one.chunk(long);
      one.chunk({}, { finish: 'tool_calls' });
    }
    expect(one.events).toEqual(['commit']);
    expect(deltas()).toHaveLength(60);
  });
});

describe('behind a seam', () => {
  it('a refusal ends an attempt that had gone on, and the log has its seam once', () => {
    const history = historyOf(started(1, place), said('Hello, you'));
    const { journal, open, deltas, kinds } = createJournalRig({ history, run: 2 });
    const one = open('continue');
    one.chunk({ content: ' there' });
    one.chunk({ refusal: 'No.' });
    expect(one.events).toEqual(['commit', 'no_continuation']);
    expect(journal.ended(one.gate, completed)).toBe(false);
    expect(deltas()).toEqual([{ content: ' there' }]);
    expect(kinds()).toEqual(['attempt', 'seam', 'chunk', 'attempt_end']);
  });

  it('an end without a word is written as what it is, and is none', () => {
    const history = historyOf(started(1, place), said('Hello, you'));
    const { journal, open, entries, terminal } = createJournalRig({ history, run: 2 });
    const one = open('continue');
    one.chunk({}, { finish: 'stop' });
    expect(one.events).toEqual(['no_continuation']);
    expect(journal.ended(one.gate, completed)).toBe(false);
    expect(entries()[1]).toMatchObject({ kind: 'seam', data: { outcome: 'empty', offset: 10 } });
    expect(terminal()).toBeUndefined();
  });

  it('what only comes along with the answer is no progress, and waits for some', () => {
    const history = historyOf(started(1, place), said('Hello, '));
    const { journal, open, deltas, kinds } = createJournalRig({ history, run: 2 });
    const annotated = { annotations: [{ type: 'url_citation' }] };
    const one = open('replay');
    one.chunk({ content: 'Hello, ', channel: 'final' });
    one.chunk(annotated);
    journal.ended(one.gate, broken, 1);
    expect(kinds()).toEqual(['attempt', 'attempt_end']);
    expect(history.attempts.map(({ wasDelivered }) => wasDelivered)).toEqual([true, false]);

    const other = open('replay');
    other.chunk({ content: 'Hello, ' });
    other.chunk(annotated);
    other.chunk({ content: 'you' });
    expect(deltas()).toEqual([annotated, { content: 'you' }]);
    expect(history.attempts.at(-1)).toMatchObject({ wasDelivered: true, advanced: true });
  });
});
