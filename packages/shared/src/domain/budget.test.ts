import { expect, test } from 'vitest';
import { limitsAt, periodsOf } from './budget.ts';

test('a request belongs to a day and a month of UTC', () => {
  expect(periodsOf(Date.UTC(2026, 10, 30, 23, 59, 59, 999))).toEqual({
    day: '2026-11-30',
    month: '2026-11',
  });
  expect(periodsOf(Date.UTC(2026, 11, 1))).toEqual({ day: '2026-12-01', month: '2026-12' });
});

test('each amount of a budget has its period, its unit and its renewal, also over the end of a year', () => {
  const budget = { day: 0.1, month: 20, tokensPerDay: 5, currency: 'USD' } as const;
  const newYear = Date.UTC(2027, 0, 1);
  expect(limitsAt(budget, Date.UTC(2026, 11, 31, 12))).toEqual([
    { unit: 'usd', span: 'day', period: '2026-12-31', limit: 100_000_000, renewsAt: newYear },
    { unit: 'tokens', span: 'day', period: '2026-12-31', limit: 5, renewsAt: newYear },
    { unit: 'usd', span: 'month', period: '2026-12', limit: 20_000_000_000, renewsAt: newYear },
  ]);
  expect(limitsAt({ currency: 'USD' }, newYear)).toEqual([]);
});
