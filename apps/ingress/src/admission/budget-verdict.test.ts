import { limitsAt, nanosOf } from '@millrace/shared/domain/budget';
import { expect, test } from 'vitest';
import { judgeBudget } from './budget-verdict.ts';

const now = Date.UTC(2026, 10, 29, 23, 59, 30);
const limits = limitsAt({ day: 50, month: 1000, tokensPerDay: 5000, currency: 'USD' }, now);
const usd = (spent: number, reserved = 0) => ({
  spent: nanosOf(spent),
  reserved: nanosOf(reserved),
});
const tokens = (spent: number, reserved = 0) => ({ spent, reserved });
const judge = (...use: { spent: number; reserved: number }[]) =>
  judgeBudget('team-a', limits, use, now);

test('a budget of which something is left is no reason to refuse', () => {
  expect(judge(usd(49.999999), tokens(4999), usd(0))).toBeUndefined();
  expect(judgeBudget('team-a', [], [], now)).toBeUndefined();
});

test('the message says what was spent of which limit, and when it is renewed', () => {
  expect(judge(usd(50.123456), tokens(0), usd(60))).toEqual({
    kind: 'used_up',
    message:
      "The budget of key 'team-a' is used up: 50.123456 USD spent, of 50.00 USD per day (UTC). " +
      'It is renewed at 2026-11-30T00:00:00Z.',
    retryAfterSeconds: 30,
  });
  expect(judge(usd(0), tokens(5000), usd(0))?.message).toContain(
    '5000 tokens spent, of 5000 tokens per day (UTC)',
  );
});

test('what requests under way have reserved counts, and the key may try again soon', () => {
  expect(judge(usd(49.5, 0.5), tokens(0), usd(60))).toEqual({
    kind: 'reserved',
    message:
      "The rest of the budget of key 'team-a' is reserved: " +
      '49.50 USD spent and 0.50 USD reserved for requests under way, of 50.00 USD per day (UTC). ' +
      'Try again when some of them have ended.',
    retryAfterSeconds: 5,
  });
});

test('an amount that is spent counts before one that is reserved until later', () => {
  expect(judge(usd(50, 1), tokens(0), usd(999, 1))).toMatchObject({
    kind: 'used_up',
    message: expect.stringContaining('50.00 USD spent and 1.00 USD reserved') as string,
    retryAfterSeconds: 30,
  });
});

test('of several amounts that are used up the one counts that is renewed last', () => {
  const verdict = judge(usd(50), tokens(9000), usd(1000));
  expect(verdict?.message).toContain('1000.00 USD spent, of 1000.00 USD per month (UTC)');
  expect(verdict?.retryAfterSeconds).toBe(86_400 + 30);
});

test('a budget of nothing refuses the first request', () => {
  const none = limitsAt({ day: 0, currency: 'USD' }, now);
  expect(judgeBudget('team-a', none, [usd(0)], now)?.message).toContain('0.00 USD spent, of 0.00');
});
