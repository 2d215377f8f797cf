import { describe, expect, it } from 'vitest';
import { retryAfter } from './verdict.ts';

describe('how long a provider asks to wait', () => {
  const now = Date.parse('2026-11-20T10:00:00Z');

  it.each([
    [{ 'retry-after': '2' }, 2000],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after-ms': '150', 'retry-after': '2' }, 150],
    [{ 'retry-after-ms': '', 'retry-after': '2' }, 2000],
    [{ 'retry-after': 'Fri, 20 Nov 2026 10:00:05 GMT' }, 5000],
    [{ 'retry-after': 'Fri, 20 Nov 2026 09:00:00 GMT' }, 0],
  ])('is in %j', (headers, ms) => {
    expect(retryAfter(headers, now)).toBe(ms);
  });

  it.each([{}, { 'retry-after': '' }, { 'retry-after': ' ' }, { 'retry-after': 'soon' }])(
    'is not in %j',
    (headers) => {
      expect(retryAfter(headers, now)).toBeUndefined();
    },
  );
});
