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
