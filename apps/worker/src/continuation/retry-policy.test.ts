import { faultTable } from '@millrace/shared/domain/fault';
import type { FaultCode } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import { fault } from './history.fixture.ts';
import { longestRetryAfterMs, retryDelay } from './retry-policy.ts';

const delay = (code: FaultCode, failures: number, random = 1, retryAfterMs?: number) =>
  retryDelay(fault(code, { retryAfterMs }), faultTable[code], failures, random);

describe('the pause before the same target is asked again', () => {
  it('doubles with every failure, with full jitter below that', () => {
    const row = { ...faultTable.upstream_overloaded, again: 9 };
    const at = (failures: number, random: number) =>
      retryDelay(fault('upstream_overloaded'), row, failures, random);
    expect([1, 2, 3, 4, 5, 6].map((n) => at(n, 1))).toEqual([400, 800, 1600, 3200, 4000, 4000]);
    expect([1, 2, 3].map((n) => at(n, 0))).toEqual([0, 0, 0]);
    expect(at(2, 0.5)).toBe(400);
  });

  it('is none where a pause does not help', () => {
    expect(delay('upstream_reset', 1)).toBe(0);
  });

  it('is not made more often than the table says', () => {
    expect(delay('upstream_server_error', 1)).toBe(400);
    expect(delay('upstream_server_error', 2)).toBeUndefined();
    expect(delay('upstream_overloaded', 2)).toBe(800);
    expect(delay('upstream_overloaded', 3)).toBeUndefined();
  });

  it.each([
    'upstream_rejected',
    'content_filtered',
    'context_length_exceeded',
    'upstream_timeout',
  ] as const)('is never made after %s, whatever the provider asks for', (code) => {
    expect(delay(code, 1)).toBeUndefined();
    expect(delay(code, 1, 0, 100)).toBeUndefined();
  });
});

describe("a provider's own wish", () => {
  it('is granted up to three seconds, a little later than asked and never earlier', () => {
    expect(longestRetryAfterMs).toBe(3000);
    expect(delay('upstream_rate_limited', 1, 0, 3000)).toBe(3000);
    expect(delay('upstream_rate_limited', 1, 1, 3000)).toBe(3300);
  });

  it('to be asked at once is no reason to come back together with all the others', () => {
    expect(delay('upstream_rate_limited', 1, 1, 0)).toBe(400);
    expect(delay('upstream_rate_limited', 2, 0.5, 0)).toBe(400);
    expect(delay('upstream_rate_limited', 2, 1, 500)).toBe(800);
  });

  it('beyond that is no reason to wait', () => {
    expect(delay('upstream_rate_limited', 1, 0, 3001)).toBeUndefined();
  });

  it('does not add to how often it is asked', () => {
    expect(delay('upstream_rate_limited', 3, 0, 100)).toBeUndefined();
  });
});
