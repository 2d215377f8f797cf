import type { Taken } from '@millrace/shared/store/quota/port';
import { describe, expect, it } from 'vitest';
import {
  formatDuration,
  judgeRates,
  rememberedHeaders,
  tooManyConcurrent,
} from './quota-verdict.ts';

const charges = [
  { name: 'requests', limit: 10, amount: 1 },
  { name: 'tokens', limit: 1000, amount: 300 },
];
const granted: Taken = { kind: 'yes', slot: 7, used: [1, 300], resetMs: [60_400, 60_400] };

describe('the rates of a key', () => {
  it('are told with every answer, as OpenAI does', () => {
    expect(judgeRates('a', charges, granted)).toEqual({
      kind: 'admitted',
      headers: {
        'x-ratelimit-limit-requests': '10',
        'x-ratelimit-remaining-requests': '9',
        'x-ratelimit-reset-requests': '1m1s',
        'x-ratelimit-limit-tokens': '1000',
        'x-ratelimit-remaining-tokens': '700',
        'x-ratelimit-reset-tokens': '1m1s',
      },
    });
  });

  it('are told only where they are limited', () => {
    const verdict = judgeRates('a', charges.slice(1), { ...granted, used: [1200] });
    expect(verdict.headers).toEqual({
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '1m1s',
    });
    expect(judgeRates('a', [], { ...granted, used: [] }).headers).toEqual({});
  });

  it.each([
    {
      used: [10, 300],
      by: 'requests',
      says: 'requests per minute: limit 10, used 10, requested 1',
    },
    {
      used: [4, 900],
      by: 'tokens',
      says: 'tokens per minute: limit 1000, used 900, requested 300',
    },
    { used: [10, 900], by: 'requests', says: 'requests per minute' },
  ])('name the one that is reached: $by, with $used used', ({ used, by, says }) => {
    const taken: Taken = { kind: 'no', retryAfterMs: 20_500, used, resetMs: [1, 1] };
    const verdict = judgeRates('a', charges, taken);
    expect(verdict).toMatchObject({ kind: 'limited', by, retryAfterMs: 20_500 });
    expect(verdict.kind === 'limited' && verdict.message).toContain(`key 'a' on ${says}`);
    expect(verdict.kind === 'limited' && verdict.message).toContain('try again in 21s');
    expect(verdict.headers).toHaveProperty('x-ratelimit-remaining-requests');
  });
});

it('requests under way are limited without saying when one will end', () => {
  const headers = { 'x-ratelimit-limit-requests': '10' };
  expect(tooManyConcurrent('a', 3, headers)).toMatchObject({
    by: 'concurrent',
    retryAfterMs: 1000,
    headers,
  });
});

it.each([
  [0, '0s'],
  [-5, '0s'],
  [0.2, '1ms'],
  [120, '120ms'],
  [999.5, '1000ms'],
  [1000, '1s'],
  [1001, '2s'],
  [59_001, '1m0s'],
  [360_000, '6m0s'],
])('%d ms are written %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

describe('rates that were not asked for', () => {
  const limitsAlone = { 'x-ratelimit-limit-requests': '10', 'x-ratelimit-limit-tokens': '1000' };

  it('are told as they were last, with what is left of their time', () => {
    const told = rememberedHeaders(charges, { taken: granted, agoMs: 20_000 });
    expect(told).toEqual({
      ...limitsAlone,
      'x-ratelimit-remaining-requests': '9',
      'x-ratelimit-reset-requests': '41s',
      'x-ratelimit-remaining-tokens': '700',
      'x-ratelimit-reset-tokens': '41s',
    });
  });

  it('are told by their limits where nothing is known, or not any more', () => {
    expect(rememberedHeaders(charges, undefined)).toEqual(limitsAlone);
    expect(rememberedHeaders(charges, { taken: granted, agoMs: 60_000 })).toEqual(limitsAlone);
    expect(rememberedHeaders([], undefined)).toEqual({});
  });
});
