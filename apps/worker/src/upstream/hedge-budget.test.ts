import { describe, expect, it } from 'vitest';
import { createHedgeBudget } from './hedge-budget.ts';

describe('the hedge budget', () => {
  const takeAll = ({ take }: ReturnType<typeof createHedgeBudget>) => {
    let taken = 0;
    while (take()) taken += 1;
    return taken;
  };

  it('allows a small burst at once', () => {
    const budget = createHedgeBudget();
    expect(takeAll(budget)).toBe(10);
    expect(budget.take()).toBe(false);
  });

  it('earns a hedge with every twenty requests', () => {
    const budget = createHedgeBudget();
    takeAll(budget);
    for (let i = 0; i < 19; i++) budget.earn();
    expect(budget.take()).toBe(false);
    for (let i = 0; i < 2; i++) budget.earn();
    expect(takeAll(budget)).toBe(1);
    for (let i = 0; i < 100; i++) budget.earn();
    expect(takeAll(budget)).toBe(5);
  });

  it('has one back that did not start', () => {
    const budget = createHedgeBudget();
    takeAll(budget);
    budget.giveBack();
    expect(takeAll(budget)).toBe(1);
  });

  it('saves no more than the burst', () => {
    const budget = createHedgeBudget();
    for (let i = 0; i < 10_000; i++) budget.earn();
    expect(takeAll(budget)).toBe(10);
  });
});
