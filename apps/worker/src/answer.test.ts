import { decodeEntry, kindOf } from '@millrace/shared/domain/entry';
import type { Entry, TerminalKind } from '@millrace/shared/domain/entry';
import { beforeEach, describe, expect, it } from 'vitest';
import { createAnswer } from './answer.ts';
import type { Answer } from './answer.ts';
import { noHistory } from './failover/next.ts';
import type { History } from './failover/next.ts';

const target = { provider: 'openai', model: 'gpt-4o' };
const start = { kind: 'attempt', target, mode: 'start' } as const;
const broken = {
  kind: 'fault',
  fault: { code: 'upstream_reset', message: 'The connection broke.' },
} as const;
const completed = { kind: 'completed', finishReason: 'stop' } as const;

let written: string[];
let terminal: TerminalKind | undefined;

function createTestAnswer(history: History = noHistory, run = 1): Answer {
  return createAnswer({
    run,
    history,
    now: () => 1234,
    writer: {
      push: (line) => written.push(line),
      note: (line) => written.push(line),
      end(line, kind) {
        written.push(line);
        terminal = kind;
      },
      flushed: async () => {},
    },
  });
}

beforeEach(() => {
  written = [];
  terminal = undefined;
});

const kinds = () => written.map(kindOf);
const entries = (): Entry[] => written.map(decodeEntry);

describe('a streamed answer', () => {
  it('is the attempt, its chunks, its ledger entry and the end, in this order', () => {
    const answer = createTestAnswer();
    const sink = answer.start(start);
    sink.chunk('{"content":"Hel"}', true);
    sink.chunk('{"content":"lo"}', true);
    answer.ended(completed, 1200);
    expect(entries()).toEqual([
      { kind: 'attempt', data: { run: 1, attempt: 1, ...target, mode: 'start', at: 1234 } },
      { kind: 'chunk', text: '{"content":"Hel"}' },
      { kind: 'chunk', text: '{"content":"lo"}' },
      {
        kind: 'attempt_end',
        data: { run: 1, attempt: 1, at: 1234, firstTokenAt: 1200, outcome: 'completed' },
      },
      { kind: 'done', data: { finishReason: 'stop', attempts: 1, at: 1234 } },
    ]);
    expect(terminal).toBe('done');
    expect(answer.conclusion).toEqual({ kind: 'completed', summary: 'stop' });
  });

  it('holds the role chunk back until something is visible, and then keeps the order', () => {
    const answer = createTestAnswer();
    const sink = answer.start(start);
    sink.chunk('{"role":"assistant"}', false);
    sink.chunk('{"content":""}', false);
    expect(kinds()).toEqual(['attempt']);
    expect(answer.history.shown).toBe(false);
    sink.chunk('{"content":"Hi"}', true);
    expect(written.slice(1)).toEqual([
      'c{"role":"assistant"}',
      'c{"content":""}',
      'c{"content":"Hi"}',
    ]);
    expect(answer.history.shown).toBe(true);
  });

  it('holds nothing back once something was visible', () => {
    const answer = createTestAnswer();
    const sink = answer.start(start);
    sink.chunk('{"content":"Hi"}', true);
    sink.chunk('{"content":""}', false);
    expect(kinds()).toEqual(['attempt', 'chunk', 'chunk']);
  });

  it('that was never visible is shown when it completes', () => {
    const answer = createTestAnswer();
    const sink = answer.start(start);
    sink.chunk('{"role":"assistant"}', false);
    sink.chunk('{"finish_reason":"stop"}', false);
    answer.ended(completed, undefined);
    expect(kinds()).toEqual(['attempt', 'chunk', 'chunk', 'attempt_end', 'done']);
  });

  it('has its usage chunk behind the last chunk, whenever it came', () => {
    const answer = createTestAnswer();
    const sink = answer.start(start);
    sink.chunk('{"content":"Hi"}', true);
    sink.usage('{"usage":{"total_tokens":3}}');
    sink.chunk('{"finish_reason":"stop"}', false);
    const usage = { total_tokens: 3 };
    answer.ended({ ...completed, usage }, 1);
    expect(kinds()).toEqual(['attempt', 'chunk', 'chunk', 'usage', 'attempt_end', 'done']);
    expect(entries()[3]).toEqual({ kind: 'usage', text: '{"usage":{"total_tokens":3}}' });
    expect(entries().slice(4)).toMatchObject([{ data: { usage } }, { data: { usage } }]);
  });

  it('keeps a finish reason that is null', () => {
    const answer = createTestAnswer();
    answer.start(start);
    answer.ended({ kind: 'completed', finishReason: null }, undefined);
    expect(entries().at(-1)).toEqual({
      kind: 'done',
      data: { finishReason: null, attempts: 1, at: 1234 },
    });
    expect(answer.conclusion).toEqual({ kind: 'completed', summary: 'completed' });
  });
});

describe('an answer that was not streamed', () => {
  it('is its result, ledger entry and end', () => {
    const answer = createTestAnswer();
    answer.start(start);
    const result = { contentType: 'application/json', body: '{\n "choices": []\n}' };
    answer.ended({ ...completed, result, usage: { total_tokens: 1 } }, undefined);
    expect(kinds()).toEqual(['attempt', 'result', 'attempt_end', 'done']);
    expect(entries()[1]).toEqual({ kind: 'result', data: result });
    expect(written.every((line) => !line.includes('\n'))).toBe(true);
    expect(answer.history.shown).toBe(true);
  });
});

describe('an attempt that fails', () => {
  it('before anything is visible leaves no chunk behind', () => {
    const answer = createTestAnswer();
    const sink = answer.start(start);
    sink.chunk('{"role":"assistant"}', false);
    answer.ended(broken, undefined);
    expect(kinds()).toEqual(['attempt', 'attempt_end']);
    expect(entries()[1]).toMatchObject({ data: { outcome: 'upstream_reset' } });
    expect(answer.history).toEqual({ attempts: 1, inFlight: undefined, shown: false });
    expect(answer.conclusion).toBeUndefined();
  });

  it('leaves nothing behind for the attempt after it', () => {
    const answer = createTestAnswer();
    const first = answer.start(start);
    first.chunk('{"role":"alpha"}', false);
    first.usage('{"usage":"alpha"}');
    answer.ended(broken, undefined);
    const second = answer.start(start);
    second.chunk('{"role":"second"}', false);
    second.chunk('{"content":"Hi"}', true);
    answer.ended(completed, 1);
    expect(kinds()).toEqual([
      'attempt',
      'attempt_end',
      'attempt',
      'chunk',
      'chunk',
      'attempt_end',
      'done',
    ]);
    expect(written.join('\n')).not.toContain('alpha');
    expect(entries().at(-1)).toMatchObject({ data: { attempts: 2 } });
    expect(entries().at(-2)).toMatchObject({ data: { attempt: 2 } });
  });

  it('after something was visible is remembered as shown, without usage', () => {
    const answer = createTestAnswer();
    const sink = answer.start(start);
    sink.chunk('{"content":"Hi"}', true);
    sink.usage('{}');
    answer.ended(broken, 1200);
    expect(kinds()).toEqual(['attempt', 'chunk', 'attempt_end']);
    expect(answer.history).toEqual({ attempts: 1, inFlight: undefined, shown: true });
  });

  it('and cannot be saved ends the request with its error', () => {
    const answer = createTestAnswer();
    answer.start(start);
    answer.ended(broken, undefined);
    const error = { message: 'broke', type: 'upstream_error', param: null, code: 'upstream_reset' };
    answer.fail({ kind: 'fail', failed: { error, httpStatus: 502 } });
    expect(entries().at(-1)).toEqual({
      kind: 'failed',
      data: { error, httpStatus: 502, at: 1234 },
    });
    expect(terminal).toBe('failed');
    expect(answer.conclusion).toEqual({ kind: 'failed', reason: 'upstream_reset: broke' });
  });
});

describe('a run that takes over', () => {
  it('goes on counting attempts', () => {
    const answer = createTestAnswer({ attempts: 2, inFlight: undefined, shown: false }, 3);
    answer.start(start);
    expect(entries()[0]).toMatchObject({ data: { run: 3, attempt: 3 } });
    answer.ended(completed, undefined);
    expect(entries().at(-1)).toMatchObject({ data: { attempts: 3 } });
  });

  it('that starts anew tells readers to forget, first of all', () => {
    const answer = createTestAnswer({ attempts: 1, inFlight: undefined, shown: true }, 2);
    answer.start({ ...start, mode: 'restart' });
    expect(entries()).toMatchObject([
      { kind: 'reset', data: { reason: 'restart' } },
      { kind: 'attempt', data: { mode: 'restart', attempt: 2 } },
    ]);
    expect(answer.history.shown).toBe(false);
  });
});
