import type { AttemptStarted, Entry } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import { next, noHistory, remember } from './next.ts';
import type { History, Situation, Step } from './next.ts';

const openai = { provider: 'openai', model: 'gpt-4o' };
const anthropic = { provider: 'anthropic', model: 'claude' };
const third = { provider: 'openai', model: 'gpt-4o-mini' };

const started: AttemptStarted = { run: 1, attempt: 1, ...openai, mode: 'start', at: 1000 };
const attempt: Entry = { kind: 'attempt', data: started };
const attemptEnd: Entry = {
  kind: 'attempt_end',
  data: { run: 1, attempt: 1, at: 2000, outcome: 'upstream_reset' },
};
const chunk: Entry = { kind: 'chunk', text: '{}' };
const reset: Entry = { kind: 'reset', data: { reason: 'restart' } };

const after = (...entries: Entry[]): History => entries.reduce(remember, noHistory);

function decide(situation: Partial<Situation> = {}): Step {
  return next({
    targets: [openai, anthropic],
    reader: 'plain',
    history: noHistory,
    fault: undefined,
    now: 5000,
    ...situation,
  });
}

const reset502: Fault = { code: 'upstream_reset', message: 'The connection broke.' };

describe('what the log says', () => {
  it('an attempt is in flight until its end is written', () => {
    expect(after(attempt)).toEqual({ attempts: 1, inFlight: started, shown: false });
    expect(after(attempt, attemptEnd)).toEqual({ attempts: 1, inFlight: undefined, shown: false });
    expect(after(attempt, attemptEnd, attempt).attempts).toBe(2);
  });

  it('chunks and results were shown, until a reset takes them back', () => {
    expect(after(attempt, chunk).shown).toBe(true);
    expect(after({ kind: 'result', data: { contentType: 'x', body: '' } }).shown).toBe(true);
    expect(after(attempt, chunk, reset).shown).toBe(false);
    expect(after(attempt, chunk, reset, chunk).shown).toBe(true);
  });

  it('the ledger, usage and the end show nothing', () => {
    const done: Entry = { kind: 'done', data: { finishReason: null, attempts: 1, at: 1 } };
    expect(after(attempt, attemptEnd, { kind: 'usage', text: '{}' }, done).shown).toBe(false);
  });

  it('is not changed by what follows', () => {
    const before = after(attempt);
    remember(before, chunk);
    expect(before.shown).toBe(false);
  });
});

describe('the first attempt', () => {
  it('goes to the first target', () => {
    expect(decide()).toEqual({ kind: 'attempt', target: openai, mode: 'start' });
  });

  it('is not made without any target', () => {
    expect(decide({ targets: [] })).toMatchObject({
      kind: 'fail',
      failed: { error: { code: 'provider_not_configured', type: 'server_error' }, httpStatus: 500 },
    });
  });

  it('is not made once the deadline has passed', () => {
    expect(decide({ deadlineAt: 5001 }).kind).toBe('attempt');
    expect(decide({ deadlineAt: 5000 })).toMatchObject({
      kind: 'fail',
      failed: { error: { code: 'deadline_exceeded' }, httpStatus: 504 },
    });
  });
});

describe('after the death of a worker', () => {
  it('the next target is asked when nothing was shown', () => {
    const step = decide({ history: after(attempt) });
    expect(step).toEqual({ kind: 'attempt', target: anthropic, mode: 'start' });
  });

  it('the first is asked again after the last', () => {
    const inFlight: Entry = { kind: 'attempt', data: { ...started, ...anthropic } };
    const step = decide({ history: after(inFlight) });
    expect(step).toMatchObject({ target: openai });
  });

  it('a single target is asked again', () => {
    const step = decide({ targets: [openai], history: after(attempt) });
    expect(step).toEqual({ kind: 'attempt', target: openai, mode: 'start' });
  });

  it('targets of one provider are told apart by their model', () => {
    const targets = [third, openai, anthropic];
    expect(decide({ targets, history: after(attempt) })).toMatchObject({ target: anthropic });
  });

  it('the first target is asked when the one in flight is not configured any more', () => {
    const gone: Entry = { kind: 'attempt', data: { ...started, provider: 'gone' } };
    expect(decide({ history: after(gone) })).toMatchObject({ target: openai });
  });

  it('a native reader is told to forget what it was shown', () => {
    const step = decide({ reader: 'native', history: after(attempt, chunk) });
    expect(step).toEqual({ kind: 'attempt', target: anthropic, mode: 'restart' });
  });

  it('a native reader that was told to forget already starts anew', () => {
    const step = decide({ reader: 'native', history: after(attempt, chunk, reset) });
    expect(step).toMatchObject({ kind: 'attempt', mode: 'start' });
  });

  it('a plain reader that was shown something gets a clear end', () => {
    expect(decide({ history: after(attempt, chunk) })).toMatchObject({
      kind: 'fail',
      failed: { error: { code: 'upstream_failed_mid_stream' }, httpStatus: 502 },
    });
  });
});

describe('after a fault', () => {
  it('the request fails with its code and status', () => {
    expect(decide({ fault: reset502, history: after(attempt, attemptEnd) })).toEqual({
      kind: 'fail',
      failed: {
        error: {
          message: 'The connection broke.',
          type: 'upstream_error',
          param: null,
          code: 'upstream_reset',
        },
        httpStatus: 502,
        retryAfterMs: undefined,
      },
    });
  });

  it("the provider's own error, status and Retry-After are passed on", () => {
    const error = { message: 'Slow down', type: 'rate_limit', param: 'x', code: 'rate_limited' };
    const fault: Fault = {
      code: 'upstream_error_status',
      message: 'The provider answered with status 429.',
      httpStatus: 429,
      error,
      retryAfterMs: 2000,
    };
    const expected = { error, httpStatus: 429, retryAfterMs: 2000 };
    expect(decide({ fault })).toEqual({ kind: 'fail', failed: expected });
  });

  it('in the middle of the answer the code says so, with the reason in words', () => {
    const step = decide({ fault: reset502, history: after(attempt, chunk, attemptEnd) });
    expect(step).toMatchObject({
      failed: {
        error: { code: 'upstream_failed_mid_stream', message: 'The connection broke.' },
      },
    });
  });

  it('the same situation gives the same step', () => {
    const situation = { fault: reset502, history: after(attempt, chunk) };
    expect(decide(situation)).toEqual(decide(situation));
  });
});
