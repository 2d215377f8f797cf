import { describe, expect, it } from 'vitest';
import type { Headers } from './port.ts';
import { anthropicQuota, limitsReader, openAiQuota, readRetryAfter } from './rate-limits.ts';

const readLimits = limitsReader([openAiQuota, anthropicQuota]);
const readQuota = (headers: Headers, at: number) => readLimits(headers, at).quota;

const now = Date.parse('2025-03-15T09:38:00Z');

describe('the quota in an answer', () => {
  it("is read from OpenAI's headers, with spans of time", () => {
    expect(
      readQuota(
        {
          'x-ratelimit-limit-requests': '10000',
          'x-ratelimit-remaining-requests': '9999',
          'x-ratelimit-reset-requests': '6ms',
          'x-ratelimit-limit-tokens': '50000000',
          'x-ratelimit-remaining-tokens': '0',
          'x-ratelimit-reset-tokens': '1m30.5s',
        },
        now,
      ),
    ).toEqual({
      requests: { remaining: 9999, limit: 10_000, resetAt: now + 6 },
      tokens: { remaining: 0, limit: 50_000_000, resetAt: now + 90_500 },
    });
  });

  it("is read from Azure's, whose bare numbers are milliseconds", () => {
    const headers = {
      'x-ratelimit-remaining-requests': '119',
      'x-ratelimit-reset-requests': '500',
    };
    expect(readQuota(headers, now)?.requests?.resetAt).toBe(now + 500_000);
    const azure = { ...headers, 'x-ratelimit-renewalperiod-requests': '60' };
    expect(readQuota(azure, now)?.requests?.resetAt).toBe(now + 500);
  });

  it("is read from Anthropic's, of tokens the scarcest, by its own clock", () => {
    const headers = {
      date: 'Sat, 15 Mar 2025 09:38:20 GMT',
      'anthropic-ratelimit-requests-limit': '4000',
      'anthropic-ratelimit-requests-remaining': '3999',
      'anthropic-ratelimit-requests-reset': '2025-03-15T09:38:31Z',
      'anthropic-ratelimit-input-tokens-limit': '400000',
      'anthropic-ratelimit-input-tokens-remaining': '399000',
      'anthropic-ratelimit-output-tokens-limit': '80000',
      'anthropic-ratelimit-output-tokens-remaining': '100',
      'anthropic-ratelimit-output-tokens-reset': '2025-03-15T09:38:32Z',
    };
    expect(readQuota(headers, now)).toEqual({
      requests: { remaining: 3999, limit: 4000, resetAt: now + 11_000 },
      tokens: { remaining: 100, limit: 80_000, resetAt: now + 12_000 },
    });
  });

  it('is read from the first kind of headers that a format knows, where a gateway sends two', () => {
    const headers = {
      'x-ratelimit-remaining-requests': '1',
      'anthropic-ratelimit-requests-remaining': '2',
    };
    const remaining = (read: typeof readLimits) => read(headers, now).quota?.requests?.remaining;
    expect(remaining(limitsReader([openAiQuota, anthropicQuota]))).toBe(1);
    expect(remaining(limitsReader([anthropicQuota, openAiQuota]))).toBe(2);
  });

  it('is undefined where nothing is said, and nonsense is nothing', () => {
    expect(readQuota({ 'content-type': 'text/html' }, now)).toBeUndefined();
    expect(readQuota({ 'x-ratelimit-remaining-requests': 'many' }, now)).toBeUndefined();
    const odd = {
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': 'tomorrow-ish',
    };
    expect(readQuota(odd, now)?.requests).toEqual({
      remaining: 0,
      limit: undefined,
      resetAt: undefined,
    });
  });
});

describe('the wish to wait', () => {
  it.each([
    [{ 'retry-after': '2' }, 2000],
    [{ 'retry-after': '1', 'retry-after-ms': '0' }, 1000],
    [{ 'retry-after': '1', 'retry-after-ms': '350' }, 350],
    [{ 'retry-after': 'Sat, 15 Mar 2025 09:38:30 GMT' }, 30_000],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after-ms': '', 'retry-after': '2' }, 2000],
    [{ 'retry-after': 'Sat, 15 Mar 2025 09:00:00 GMT' }, 0],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '' }, undefined],
    [{ 'retry-after': ' ' }, undefined],
    [{}, undefined],
  ])('of %j is %s', (headers, ms) => {
    expect(readRetryAfter(headers, now)).toBe(ms);
  });
});
