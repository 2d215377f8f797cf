import { describe, expect, it } from 'vitest';
import { fault } from '../continuation/history.fixture.ts';
import { afterSilence, allowedSilenceMs, faultOfAttempt } from './attempt-rules.ts';

const timeouts = { firstTokenTimeoutMs: 30_000, idleTimeoutMs: 5000 };

it.each([
  [{ hasBegun: false, isFinished: false }, 30_000],
  [{ hasBegun: true, isFinished: false }, 5000],
  [{ hasBegun: true, isFinished: true }, 1000],
  // An answer that says nothing visible can be at its end.
  [{ hasBegun: false, isFinished: true }, 1000],
])('with %j an attempt may be silent for %d ms', (progress, ms) => {
  expect(allowedSilenceMs(timeouts, progress)).toBe(ms);
});

it('the grace behind the last finish_reason is no longer than the idle timeout', () => {
  const progress = { hasBegun: true, isFinished: true };
  expect(allowedSilenceMs({ ...timeouts, idleTimeoutMs: 300 }, progress)).toBe(300);
});

describe('a silence that was too long', () => {
  const silence = { wasLate: false, isFinished: false, hasBegun: false, mayWait: false };

  it('proves nothing while this process stood still', () => {
    const all = { isFinished: true, hasBegun: true, mayWait: true };
    expect(afterSilence({ ...all, wasLate: true })).toBe('wait');
    expect(afterSilence({ ...silence, wasLate: true })).toBe('wait');
  });

  it('ends an answer whose choices all have their finish_reason', () => {
    expect(afterSilence({ ...silence, isFinished: true, hasBegun: true })).toBe('end');
  });

  it('before the first token is a fault, unless the attempt may wait', () => {
    expect(afterSilence(silence)).toMatchObject({ code: 'upstream_first_token_timeout' });
    expect(afterSilence({ ...silence, mayWait: true })).toBe('slow');
  });

  it('in the middle of an answer is a fault, also where a late first token is none', () => {
    const inAnswer = { ...silence, hasBegun: true, mayWait: true };
    expect(afterSilence(inAnswer)).toMatchObject({ code: 'upstream_idle_timeout' });
  });
});

describe('a rejection', () => {
  const rejected = fault('upstream_rejected');
  const codeOf = (hasBegun: boolean, wasAccepted: boolean) =>
    faultOfAttempt(rejected, { hasBegun, wasAccepted }).code;

  it('is about the request where no target has taken it', () => {
    expect(codeOf(false, false)).toBe('upstream_rejected');
  });

  it('is about the target where another one took the request', () => {
    expect(codeOf(false, true)).toBe('target_unsuited');
  });

  it('is a failure of the provider once it has begun to answer', () => {
    expect(codeOf(true, false)).toBe('upstream_server_error');
    expect(codeOf(true, true)).toBe('upstream_server_error');
  });

  it('is the only fault that is read so', () => {
    const other = fault('upstream_reset');
    expect(faultOfAttempt(other, { hasBegun: true, wasAccepted: true })).toBe(other);
  });
});

describe('a model that the provider does not have', () => {
  const words = { message: 'No model in org-1.', type: 't', param: null, code: 'model_not_found' };
  const missing = fault('upstream_model_not_found', { error: words, httpStatus: 404 });
  const named = { hasBegun: false, wasAccepted: false, namedModel: 'openai/x' };

  it('is the client’s mistake if the client has named it, and is told in our own words', () => {
    const told = faultOfAttempt(missing, named);
    expect(told).toMatchObject({ code: 'model_not_found', error: { param: 'model' } });
    expect(told.error?.message).toContain("'openai/x'");
    expect(JSON.stringify(told)).not.toContain('org-1');
  });

  it('is the operator’s if the config names it, if there is no error object, or behind a target that has it', () => {
    for (const [one, context] of [
      [missing, { ...named, namedModel: undefined }],
      [fault('upstream_model_not_found', { httpStatus: 404 }), named],
      [missing, { ...named, wasAccepted: true }],
    ] as const) {
      expect(faultOfAttempt(one, context)).toBe(one);
    }
  });
});
