import type { Prices } from '@millrace/shared/cost/prices';
import { expect, test } from 'vitest';
import { historyOf, reset, said, started } from '../continuation/history.fixture.ts';
import type { History } from '../continuation/history.ts';
import { createCostCap } from './cost-cap.ts';

const perToken: Record<string, number> = { cheap: 1, dear: 5 };
/** Input is free, so that 100 tokens of output cost 100 at the cheap target, and 500 at the dear one. */
const prices: Prices = ({ model }, { output }) => {
  const price = perToken[model];
  return price === undefined ? null : price * output;
};
const [cheap, dear, unknown] = ['cheap', 'dear', 'unknown'].map((model) => ({
  provider: 'p',
  model,
})) as [Target, Target, Target];
type Target = { provider: string; model: string };
const all = [dear, unknown, cheap];

const within = (maxCost: number, history: History = historyOf()): string[] =>
  createCostCap({ maxCost, body: '{"max_tokens":100}', prices, now: () => 0 })
    .within(all, history)
    .map(({ model }) => model);

const failed = (attempt: number, completion_tokens?: number) => ({
  kind: 'attempt_end' as const,
  data: {
    run: 1,
    attempt,
    at: 2000,
    outcome: 'upstream_idle_timeout',
    ...(completion_tokens !== undefined && { usage: { completion_tokens } }),
  },
});

test('only targets whose bound is within the cap may be asked, and none of unknown price', () => {
  expect(within(500)).toEqual(['dear', 'cheap']);
  expect(within(499)).toEqual(['cheap']);
  expect(within(99)).toEqual([]);
});

test('attempts that brought nothing count, those under way with their bound', () => {
  expect(within(599, historyOf(started(1, cheap)))).toEqual(['cheap']);
  expect(within(600, historyOf(started(1, cheap)))).toEqual(['dear', 'cheap']);
  const after = (tokens?: number) => historyOf(started(1, cheap), failed(1, tokens));
  expect(within(529, after(30))).toEqual(['cheap']);
  expect(within(530, after(30))).toEqual(['dear', 'cheap']);
  // An error costs nothing.
  expect(within(500, after())).toEqual(['dear', 'cheap']);
});

test('an answer that has begun reaches its end at targets within the cap, whatever it has cost', () => {
  const begun = historyOf(started(1, cheap), said('Hello'), failed(1, 100));
  expect(within(100, begun)).toEqual(['cheap']);
  expect(within(500, begun)).toEqual(['dear', 'cheap']);
  const anew = [said('Hello'), failed(1, 100), reset, started(2, cheap), failed(2, 100)];
  expect(within(100, historyOf(started(1, cheap), ...anew))).toEqual(['cheap']);
});

test('the fault names the cap and the cost of earlier attempts', () => {
  const cap = createCostCap({ maxCost: 1_000_000, body: '{}', prices, now: () => 0 });
  expect(cap.fault(historyOf())).toMatchObject({
    code: 'max_cost_exceeded',
    message: 'No target may be asked within the cap of $0.001.',
  });
  expect(cap.fault(historyOf(started(1, cheap), failed(1, 500))).message).toContain(
    'after attempts of up to $0.0000005',
  );
});
