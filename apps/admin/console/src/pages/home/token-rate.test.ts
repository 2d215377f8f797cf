import { expect, test } from 'vitest';
import type { Live, LiveRequest } from '../../api/types.ts';
import { tokenRate } from './token-rate.ts';

const look = (second: number, tokens: Record<string, number>, truncated = false): Live => ({
  at: new Date(Date.UTC(2026, 11, 1, 0, 0, second)).toISOString(),
  totals: { queued: 0, running: 0, rescued_running: 0 },
  running: Object.entries(tokens).map(
    ([id, output]) => ({ id, output_tokens: output }) as LiveRequest,
  ),
  truncated,
});

test('the rate is what came between two looks', () => {
  expect(tokenRate(look(0, { a: 10, gone: 5 }), look(2, { a: 30, begun: 4 }))).toBe(12);
});

test.each([
  ['a look is truncated', look(0, { a: 1 }), look(1, { a: 1, old: 9000 }, true)],
  ['the look before was', look(0, { a: 1 }, true), look(1, { a: 1, old: 9000 })],
  ['they lie a minute apart', look(0, { a: 1 }), look(59, { a: 9000 })],
  ['they are of one moment', look(0, { a: 1 }), look(0, { a: 2 })],
])('there is none if %s', (_, before, now) => {
  expect(tokenRate(before, now)).toBeUndefined();
});
