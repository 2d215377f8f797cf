import type { ModelConfig } from '@millrace/shared/config';
import type { Prices } from '@millrace/shared/cost/prices';
import { expect, test } from 'vitest';
import { errorOf } from '../api-error.ts';
import { capVerdict } from './cost-cap.ts';

/** Billionths of a USD per token of output; input is free. */
const perToken: Record<string, number | null> = { cheap: 1000, dear: 8000, unknown: null };
const prices: Prices = ({ model }, { output }) => {
  const price = perToken[model] ?? null;
  return price === null ? null : price * output;
};
const target = (model: string) => ({ provider: 'p', model, weight: 1 });

function verdict(models: string[], maxCost: number, body: object = { max_tokens: 1000 }) {
  const model: Pick<ModelConfig, 'targets'> = { targets: models.map(target) };
  return capVerdict({ model: 'm', body: JSON.stringify(body), maxCost }, model, prices, 0);
}

test('a request passes if its bound at one target is within its cap', () => {
  expect(verdict(['dear', 'cheap'], 1_000_000)).toBeUndefined();
  expect(verdict(['unknown', 'cheap'], 1_000_000)).toBeUndefined();
});

test('a request is refused with the estimate of its cheapest target', () => {
  const refused = verdict(['dear', 'cheap', 'unknown'], 999_999);
  expect(refused).toMatchObject({ kind: 'refused', code: 'max_cost_exceeded' });
  const { status, error } = errorOf(refused as NonNullable<typeof refused>);
  expect([status, error.code, error.param]).toEqual([
    400,
    'max_cost_exceeded',
    'x-millrace-max-cost',
  ]);
  expect(error.message).toContain('may cost $0.001 at its cheapest target');
  expect(error.message).toContain('cap of $0.000999999');
  expect(error.message).toContain('at most 1000 of output');
});

test('without max_tokens it is judged by a usual answer, and the message says so', () => {
  expect(verdict(['cheap'], 500_000, {})).toBeUndefined();
  const refused = verdict(['cheap'], 499_999, {});
  const { error } = errorOf(refused as NonNullable<typeof refused>);
  expect(error.message).toContain("500 of output, because it has no 'max_tokens'");
});

test('a model whose price is unknown at all of its targets is refused with a cap', () => {
  const refused = verdict(['unknown'], 1e15);
  const { status, error } = errorOf(refused as NonNullable<typeof refused>);
  expect([status, error.code]).toEqual([400, 'price_unknown']);
  expect(error.message).toContain("the price of the model 'm' is unknown");
});
