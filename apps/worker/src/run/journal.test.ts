import type { Entry } from '@millrace/shared/domain/entry';
import { describe, expect, it } from 'vitest';
import { createJournalRig, primary } from './journal.fixture.ts';
import { ended, historyOf, said, started } from '../continuation/history.fixture.ts';
import { isEmpty, plainText } from '../continuation/delivered.ts';

const role = { role: 'assistant', content: '' };
const stop = { finish: 'stop' };
const completed = { kind: 'completed', finishReason: 'stop' } as const;
const broken = {
  kind: 'fault',
  fault: { code: 'upstream_reset', message: 'The connection broke.' },
} as const;
const { provider, model } = primary;

describe('a streamed answer', () => {
  it('is the attempt, its chunks, its ledger entry and the end, in this order', () => {
    const { journal, open, entries, deltas, terminal } = createJournalRig();
    const one = open();
    one.chunk(role);
    one.chunk({ content: 'Hel' });
    one.text('lo');
    one.chunk({}, stop);
    expect(journal.ended(one.gate, completed, 1200)).toBe(true);
    const usage = { prompt_tokens: 0, completion_tokens: 2, total_tokens: 2 };
    expect(entries().map((entry) => (entry.kind === 'chunk' ? 'chunk' : entry))).toEqual([
      {
        kind: 'attempt',
        data: { run: 1, attempt: 1, provider, model, mode: 'start', at: 1234 },
      },
      'chunk',
      'chunk',
      'chunk',
      'chunk',
      {
        kind: 'attempt_end',
        data: {
          run: 1,
          attempt: 1,
          at: 1234,
          firstTokenAt: 1200,
          outcome: 'completed',
          usage,
          estimated: 'all',
        },
      },
      {
        kind: 'done',
        data: {
          finishReason: 'stop',
          usage: { ...usage, estimated: true },
          attempts: 1,
          at: 1234,
        },
      },
    ]);
    expect(deltas()).toEqual([role, { content: 'Hel' }, { content: 'lo' }, stop]);
    expect(terminal()).toBe('done');
    expect(journal.conclusion).toEqual({ kind: 'completed', summary: 'stop' });
  });

  it('has its usage chunk behind the last chunk, whenever it came', () => {
    const { journal, open, kinds, entries } = createJournalRig();
    const one = open();
    one.chunk({ role: 'assistant', content: 'Hi' });
    one.gate.sink.usage('{"choices":[],"usage":{"total_tokens":3}}');
    one.chunk({}, stop);
    const usage = { total_tokens: 3 };
    journal.ended(one.gate, { ...completed, usage }, 1);
    expect(kinds()).toEqual(['attempt', 'chunk', 'chunk', 'usage', 'attempt_end', 'done']);
    expect(entries()[3]).toEqual({
      kind: 'usage',
      text: '{"choices":[],"usage":{"total_tokens":3}}',
    });
    expect(entries().slice(4)).toMatchObject([{ data: { usage } }, { data: { usage } }]);
  });

  it('has an estimate of its usage where that was cut off behind the last chunk', () => {
    const body = '{"messages":[{"role":"user","content":"hello"}]}';
    const { journal, open, entries } = createJournalRig({ body });
    const one = open();
    one.chunk({ role: 'assistant', content: 'How do you do?' });
    one.chunk({}, stop);
    journal.ended(one.gate, { ...completed, isCut: true }, 1);
    const counts = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 };
    const usage = { ...counts, estimated: true };
    const [told, cost, done] = entries().slice(-3);
    expect(told?.kind === 'usage' && (JSON.parse(told.text) as unknown)).toMatchObject({
      id: 'chatcmpl-1',
      choices: [],
      usage,
    });
    expect(cost).toMatchObject({
      data: { outcome: 'completed', usage: counts, estimated: 'all' },
    });
    expect(done).toMatchObject({ kind: 'done', data: { usage } });
  });

  it('keeps a finish reason that is null', () => {
    const { journal, open, entries } = createJournalRig();
    journal.ended(open().gate, { kind: 'completed', finishReason: null });
    expect(entries().at(-1)).toMatchObject({ data: { finishReason: null, attempts: 1 } });
    expect(journal.conclusion).toEqual({ kind: 'completed', summary: 'completed' });
  });
});

it('an answer that was not streamed is its result, ledger entry and end', () => {
  const { journal, open, kinds, entries, lines, history } = createJournalRig();
  const result = { contentType: 'application/json', body: '{\n "choices": []\n}' };
  journal.ended(open().gate, { ...completed, result, usage: { total_tokens: 1 } });
  expect(kinds()).toEqual(['attempt', 'result', 'attempt_end', 'done']);
  expect(entries()[1]).toEqual({ kind: 'result', data: result });
  expect(lines.every((line) => !line.includes('\n'))).toBe(true);
  expect(isEmpty(history.delivered)).toBe(false);
});

describe('an attempt that fails', () => {
  it('before anything is visible leaves no chunk behind', () => {
    const { journal, open, kinds, entries, history } = createJournalRig();
    const one = open();
    one.chunk(role);
    expect(journal.ended(one.gate, broken)).toBe(false);
    expect(kinds()).toEqual(['attempt', 'attempt_end']);
    expect(entries()[1]).toMatchObject({ data: { outcome: 'upstream_reset' } });
    expect(isEmpty(history.delivered)).toBe(true);
    expect(history.attempts).toMatchObject([{ outcome: 'upstream_reset', wasDelivered: false }]);
    expect(journal.conclusion).toBeUndefined();
  });

  it('leaves nothing behind for the attempt after it', () => {
    const { journal, open, deltas, entries, lines } = createJournalRig();
    const first = open();
    first.chunk({ role: 'alpha', content: '' });
    first.gate.sink.usage('{"usage":"alpha"}');
    journal.ended(first.gate, broken);
    const second = open();
    second.chunk(role);
    second.chunk({ content: 'Hi' });
    journal.ended(second.gate, completed, 1);
    expect(deltas()).toEqual([role, { content: 'Hi' }]);
    expect(lines.join('\n')).not.toContain('alpha');
    expect(entries().at(-1)).toMatchObject({ data: { attempts: 2 } });
  });

  it('after something was visible is counted from what it sent, and says so', () => {
    const { journal, open, entries, history } = createJournalRig();
    const one = open();
    one.chunk({ role: 'assistant', content: 'Hello' });
    one.text(' world');
    one.gate.sink.usage('{}');
    journal.ended(one.gate, broken, 1200);
    const usage = { prompt_tokens: 0, completion_tokens: 3, total_tokens: 3 };
    expect(entries().at(-1)).toMatchObject({ data: { usage, estimated: 'all' } });
    expect(plainText(history.delivered)).toBe('Hello world');
  });

  it('and cannot be saved ends the request with its error', () => {
    const { journal, open, entries, terminal } = createJournalRig();
    journal.ended(open().gate, broken);
    const error = { message: 'broke', type: 'upstream_error', param: null, code: 'upstream_reset' };
    journal.fail({ kind: 'fail', code: 'upstream_reset', failed: { error, httpStatus: 502 } });
    expect(entries().at(-1)).toEqual({
      kind: 'failed',
      data: { error, httpStatus: 502, at: 1234 },
    });
    expect(terminal()).toBe('failed');
    expect(journal.conclusion).toEqual({
      kind: 'failed',
      code: 'upstream_reset',
      reason: 'upstream_reset: broke',
    });
  });

  it('keeps 500 characters of the error for the queue, which may be as large as an answer', () => {
    const { journal } = createJournalRig();
    const error = { message: 'x'.repeat(32_000), type: 'x', param: null, code: 'y'.repeat(1000) };
    journal.fail({ kind: 'fail', code: 'upstream_rejected', failed: { error, httpStatus: 400 } });
    const reason = `upstream_rejected: ${'x'.repeat(481)}`;
    expect(journal.conclusion).toEqual({ kind: 'failed', code: 'upstream_rejected', reason });
  });

  it('because its worker shuts down is nobody’s fault', () => {
    const { journal, open, entries } = createJournalRig();
    journal.handOver(open().gate);
    expect(entries().at(-1)).toMatchObject({ data: { attempt: 1, outcome: 'handed_over' } });
  });
});

describe('a run that takes over', () => {
  it('goes on counting attempts', () => {
    const history = historyOf(started(1, primary), ended(1, 'upstream_reset'), started(2, primary));
    const { journal, open, entries } = createJournalRig({ history, run: 3 });
    const one = open();
    expect(entries()[0]).toMatchObject({ data: { run: 3, attempt: 3 } });
    journal.ended(one.gate, completed);
    expect(entries().at(-1)).toMatchObject({ data: { attempts: 3 } });
  });

  it('writes how the attempts ended that were left open, with an estimate of what they cost', () => {
    const history = historyOf(
      started(1, primary),
      ended(1, 'upstream_reset'),
      started(2, primary),
      said('Hello'),
      started(3, primary, 'replay'),
    );
    const body = '{"messages":[{"role":"user","content":"hello"}]}';
    const { journal, entries } = createJournalRig({ history, run: 4, body });
    journal.closeLost();
    const lost = (attempt: number, tokens: number) => ({
      kind: 'attempt_end',
      data: {
        run: 4,
        attempt,
        at: 1234,
        outcome: 'worker_lost',
        usage: { prompt_tokens: 9, completion_tokens: tokens, total_tokens: 9 + tokens },
        estimated: 'all',
      },
    });
    expect(entries()).toEqual([lost(2, 2), lost(3, 0)]);
    expect(history.attempts.map(({ outcome }) => outcome)).not.toContain('open');
    journal.closeLost();
    expect(entries()).toHaveLength(2);
  });

  it('that starts anew tells readers to forget, first of all', () => {
    const history = historyOf(started(1, primary), said('Hi'));
    const { open, entries } = createJournalRig({ history, run: 2 });
    open('restart');
    expect(entries()).toMatchObject([
      { kind: 'reset', data: { reason: 'restart' } },
      { kind: 'attempt', data: { mode: 'restart', attempt: 2 } },
    ]);
    expect(isEmpty(history.delivered)).toBe(true);
  });

  it('writes only the end of an answer that was shown whole, and its usage', () => {
    const history = historyOf(
      started(1, primary),
      said('How do you do?'),
      said({}, { finish: 'length' }),
    );
    const body = '{"messages":[{"role":"user","content":"hello"}]}';
    const { journal, entries, terminal } = createJournalRig({ history, run: 2, body });
    journal.complete();
    const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13, estimated: true };
    const [told, done, ...more] = entries();
    expect(told?.kind === 'usage' && (JSON.parse(told.text) as unknown)).toEqual({
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [],
      usage,
    });
    const data = { finishReason: 'length', usage, attempts: 1, at: 1234 };
    expect(done).toEqual({ kind: 'done', data });
    expect(more).toEqual([]);
    expect(terminal()).toBe('done');
  });

  it.each(['line', 'last chunk'])('tells no usage twice that came in a %s', (where) => {
    const usage = { total_tokens: 7 };
    const last = said({}, { finish: 'stop' });
    const whole = last.kind === 'chunk' ? { ...(JSON.parse(last.text) as object), usage } : {};
    const told: Entry[] =
      where === 'line'
        ? [last, { kind: 'usage', text: JSON.stringify({ choices: [], usage }) }]
        : [{ kind: 'chunk', text: JSON.stringify(whole) }];
    const history = historyOf(started(1, primary), said('Hi'), ...told);
    const { journal, entries } = createJournalRig({ history, run: 2 });
    journal.complete();
    expect(entries()).toMatchObject([{ kind: 'done', data: { finishReason: 'stop', usage } }]);
  });

  it('writes only the end of an answer that was not streamed and is there', () => {
    const usage = { total_tokens: 7 };
    const body = JSON.stringify({ choices: [{ index: 0, finish_reason: 'stop' }], usage });
    const result: Entry = { kind: 'result', data: { contentType: 'application/json', body } };
    const history = historyOf(started(1, primary), result);
    const { journal, entries } = createJournalRig({ history, run: 2 });
    journal.complete();
    expect(entries()).toMatchObject([{ kind: 'done', data: { finishReason: 'stop', usage } }]);
  });
});

describe('an answer that goes on', () => {
  const text = 'The river turns the wheel, the wheel turns the stone,';
  const interrupted = () =>
    historyOf(started(1, primary), said(role), said(text), ended(1, 'upstream_reset'));

  it('has one role, one end, and a seam where the new part begins', () => {
    const { journal, open, entries, deltas, counted } = createJournalRig({
      history: interrupted(),
      run: 2,
    });
    const one = open('replay');
    one.chunk(role);
    one.chunk({ content: text.slice(0, 20) });
    one.text(`${text.slice(20)} and`);
    one.text(' so on.');
    one.chunk({}, stop);
    expect(journal.ended(one.gate, completed, 1)).toBe(true);
    expect(deltas()).toEqual([{ content: ' and' }, { content: ' so on.' }, stop]);
    expect(entries()[1]).toEqual({
      kind: 'seam',
      data: { attempt: 2, rung: 'replay', offset: text.length, outcome: 'passed' },
    });
    expect(counted).toEqual(['replay passed', 'replay completed']);
  });

  it('is left as it was by an attempt that diverges', () => {
    const { journal, open, entries, deltas, history, counted } = createJournalRig({
      history: interrupted(),
      run: 2,
    });
    const one = open('replay');
    one.chunk({ ...role, content: 'The river is' });
    expect(one.events).toEqual(['no_continuation']);
    one.chunk({ content: ' wide.' });
    journal.ended(one.gate, { kind: 'fault', fault: { code: 'no_continuation', message: 'm' } });
    expect(deltas()).toEqual([]);
    expect(entries()[1]).toMatchObject({ kind: 'seam', data: { outcome: 'diverged' } });
    expect(entries().at(-1)).toMatchObject({ data: { outcome: 'no_continuation' } });
    expect(history.attempts[1]).toMatchObject({ wasDelivered: false });
    expect(counted).toEqual(['replay diverged', 'replay no_continuation']);
  });

  it('is not completed by one that ends before it has caught up', () => {
    const { journal, open, entries, terminal } = createJournalRig({
      history: interrupted(),
      run: 2,
    });
    const one = open('replay');
    one.chunk({ ...role, content: text.slice(0, 9) });
    one.chunk({}, stop);
    expect(journal.ended(one.gate, completed, 1)).toBe(false);
    expect(entries().at(-1)).toMatchObject({ data: { outcome: 'no_continuation' } });
    expect(terminal()).toBeUndefined();
  });
});
