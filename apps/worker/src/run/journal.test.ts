import type { Entry } from '@millrace/shared/domain/entry';
import { describe, expect, it } from 'vitest';
import { createHeard, primary } from './journal.fixture.ts';
import { ended, historyOf, said, started } from '../continuation/history.fixture.ts';
import { isNothing, plainText } from '../continuation/delivered.ts';

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
    const { answer, open, entries, deltas, terminal } = createHeard();
    const one = open();
    one.say(role);
    one.say({ content: 'Hel' });
    one.plain('lo');
    one.say({}, stop);
    expect(answer.ended(one.voice, completed, 1200)).toBe(true);
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
    expect(answer.conclusion).toEqual({ kind: 'completed', summary: 'stop' });
  });

  it('has its usage chunk behind the last chunk, whenever it came', () => {
    const { answer, open, kinds, entries } = createHeard();
    const one = open();
    one.say({ role: 'assistant', content: 'Hi' });
    one.voice.sink.usage('{"choices":[],"usage":{"total_tokens":3}}');
    one.say({}, stop);
    const usage = { total_tokens: 3 };
    answer.ended(one.voice, { ...completed, usage }, 1);
    expect(kinds()).toEqual(['attempt', 'chunk', 'chunk', 'usage', 'attempt_end', 'done']);
    expect(entries()[3]).toEqual({
      kind: 'usage',
      text: '{"choices":[],"usage":{"total_tokens":3}}',
    });
    expect(entries().slice(4)).toMatchObject([{ data: { usage } }, { data: { usage } }]);
  });

  it('has an estimate of its usage where that was cut off behind the last chunk', () => {
    const body = '{"messages":[{"role":"user","content":"hello"}]}';
    const { answer, open, entries } = createHeard({ body });
    const one = open();
    one.say({ role: 'assistant', content: 'How do you do?' });
    one.say({}, stop);
    answer.ended(one.voice, { ...completed, isCut: true }, 1);
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
    const { answer, open, entries } = createHeard();
    answer.ended(open().voice, { kind: 'completed', finishReason: null });
    expect(entries().at(-1)).toMatchObject({ data: { finishReason: null, attempts: 1 } });
    expect(answer.conclusion).toEqual({ kind: 'completed', summary: 'completed' });
  });
});

it('an answer that was not streamed is its result, ledger entry and end', () => {
  const { answer, open, kinds, entries, lines, history } = createHeard();
  const result = { contentType: 'application/json', body: '{\n "choices": []\n}' };
  answer.ended(open().voice, { ...completed, result, usage: { total_tokens: 1 } });
  expect(kinds()).toEqual(['attempt', 'result', 'attempt_end', 'done']);
  expect(entries()[1]).toEqual({ kind: 'result', data: result });
  expect(lines.every((line) => !line.includes('\n'))).toBe(true);
  expect(isNothing(history.shown)).toBe(false);
});

describe('an attempt that fails', () => {
  it('before anything is visible leaves no chunk behind', () => {
    const { answer, open, kinds, entries, history } = createHeard();
    const one = open();
    one.say(role);
    expect(answer.ended(one.voice, broken)).toBe(false);
    expect(kinds()).toEqual(['attempt', 'attempt_end']);
    expect(entries()[1]).toMatchObject({ data: { outcome: 'upstream_reset' } });
    expect(isNothing(history.shown)).toBe(true);
    expect(history.tries).toMatchObject([{ outcome: 'upstream_reset', spoke: false }]);
    expect(answer.conclusion).toBeUndefined();
  });

  it('leaves nothing behind for the attempt after it', () => {
    const { answer, open, deltas, entries, lines } = createHeard();
    const first = open();
    first.say({ role: 'alpha', content: '' });
    first.voice.sink.usage('{"usage":"alpha"}');
    answer.ended(first.voice, broken);
    const second = open();
    second.say(role);
    second.say({ content: 'Hi' });
    answer.ended(second.voice, completed, 1);
    expect(deltas()).toEqual([role, { content: 'Hi' }]);
    expect(lines.join('\n')).not.toContain('alpha');
    expect(entries().at(-1)).toMatchObject({ data: { attempts: 2 } });
  });

  it('after something was visible is counted from what it sent, and says so', () => {
    const { answer, open, entries, history } = createHeard();
    const one = open();
    one.say({ role: 'assistant', content: 'Hello' });
    one.plain(' world');
    one.voice.sink.usage('{}');
    answer.ended(one.voice, broken, 1200);
    const usage = { prompt_tokens: 0, completion_tokens: 3, total_tokens: 3 };
    expect(entries().at(-1)).toMatchObject({ data: { usage, estimated: 'all' } });
    expect(plainText(history.shown)).toBe('Hello world');
  });

  it('and cannot be saved ends the request with its error', () => {
    const { answer, open, entries, terminal } = createHeard();
    answer.ended(open().voice, broken);
    const error = { message: 'broke', type: 'upstream_error', param: null, code: 'upstream_reset' };
    answer.fail({ kind: 'fail', failed: { error, httpStatus: 502 } });
    expect(entries().at(-1)).toEqual({
      kind: 'failed',
      data: { error, httpStatus: 502, at: 1234 },
    });
    expect(terminal()).toBe('failed');
    expect(answer.conclusion).toEqual({ kind: 'failed', reason: 'upstream_reset: broke' });
  });

  it('because its worker shuts down is nobody’s fault', () => {
    const { answer, open, entries } = createHeard();
    answer.handOver(open().voice);
    expect(entries().at(-1)).toMatchObject({ data: { attempt: 1, outcome: 'handed_over' } });
  });
});

describe('a run that takes over', () => {
  it('goes on counting attempts', () => {
    const history = historyOf(started(1, primary), ended(1, 'upstream_reset'), started(2, primary));
    const { answer, open, entries } = createHeard({ history, run: 3 });
    const one = open();
    expect(entries()[0]).toMatchObject({ data: { run: 3, attempt: 3 } });
    answer.ended(one.voice, completed);
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
    const { answer, entries } = createHeard({ history, run: 4, body });
    answer.closeLost();
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
    expect(history.tries.map(({ outcome }) => outcome)).not.toContain('open');
    answer.closeLost();
    expect(entries()).toHaveLength(2);
  });

  it('that starts anew tells readers to forget, first of all', () => {
    const history = historyOf(started(1, primary), said('Hi'));
    const { open, entries } = createHeard({ history, run: 2 });
    open('restart');
    expect(entries()).toMatchObject([
      { kind: 'reset', data: { reason: 'restart' } },
      { kind: 'attempt', data: { mode: 'restart', attempt: 2 } },
    ]);
    expect(isNothing(history.shown)).toBe(true);
  });

  it('writes only the end of an answer that was shown whole, and its usage', () => {
    const history = historyOf(
      started(1, primary),
      said('How do you do?'),
      said({}, { finish: 'length' }),
    );
    const body = '{"messages":[{"role":"user","content":"hello"}]}';
    const { answer, entries, terminal } = createHeard({ history, run: 2, body });
    answer.complete();
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
    const { answer, entries } = createHeard({ history, run: 2 });
    answer.complete();
    expect(entries()).toMatchObject([{ kind: 'done', data: { finishReason: 'stop', usage } }]);
  });

  it('writes only the end of an answer that was not streamed and is there', () => {
    const usage = { total_tokens: 7 };
    const body = JSON.stringify({ choices: [{ index: 0, finish_reason: 'stop' }], usage });
    const result: Entry = { kind: 'result', data: { contentType: 'application/json', body } };
    const history = historyOf(started(1, primary), result);
    const { answer, entries } = createHeard({ history, run: 2 });
    answer.complete();
    expect(entries()).toMatchObject([{ kind: 'done', data: { finishReason: 'stop', usage } }]);
  });
});

describe('an answer that goes on', () => {
  const text = 'The river turns the wheel, the wheel turns the stone,';
  const interrupted = () =>
    historyOf(started(1, primary), said(role), said(text), ended(1, 'upstream_reset'));

  it('has one role, one end, and a seam where the new part begins', () => {
    const { answer, open, entries, deltas, counted } = createHeard({
      history: interrupted(),
      run: 2,
    });
    const one = open('replay');
    one.say(role);
    one.say({ content: text.slice(0, 20) });
    one.plain(`${text.slice(20)} and`);
    one.plain(' so on.');
    one.say({}, stop);
    expect(answer.ended(one.voice, completed, 1)).toBe(true);
    expect(deltas()).toEqual([{ content: ' and' }, { content: ' so on.' }, stop]);
    expect(entries()[1]).toEqual({
      kind: 'seam',
      data: { attempt: 2, rung: 'replay', offset: text.length, outcome: 'passed' },
    });
    expect(counted).toEqual(['replay passed', 'replay completed']);
  });

  it('is left as it was by an attempt that diverges', () => {
    const { answer, open, entries, deltas, history, counted } = createHeard({
      history: interrupted(),
      run: 2,
    });
    const one = open('replay');
    one.say({ ...role, content: 'The river is' });
    expect(one.told).toEqual(['no_continuation']);
    one.say({ content: ' wide.' });
    answer.ended(one.voice, { kind: 'fault', fault: { code: 'no_continuation', message: 'm' } });
    expect(deltas()).toEqual([]);
    expect(entries()[1]).toMatchObject({ kind: 'seam', data: { outcome: 'diverged' } });
    expect(entries().at(-1)).toMatchObject({ data: { outcome: 'no_continuation' } });
    expect(history.tries[1]).toMatchObject({ spoke: false });
    expect(counted).toEqual(['replay diverged', 'replay no_continuation']);
  });

  it('is not completed by one that ends before it has caught up', () => {
    const { answer, open, entries, terminal } = createHeard({ history: interrupted(), run: 2 });
    const one = open('replay');
    one.say({ ...role, content: text.slice(0, 9) });
    one.say({}, stop);
    expect(answer.ended(one.voice, completed, 1)).toBe(false);
    expect(entries().at(-1)).toMatchObject({ data: { outcome: 'no_continuation' } });
    expect(terminal()).toBeUndefined();
  });
});
