import { expect, it } from 'vitest';
import { afterWait, newAllowance } from './allowance.ts';
import type { Allowance, EndedWait } from './allowance.ts';

const at = 1_000_000;
const waited = (ms: number, more: Partial<EndedWait> = {}): EndedWait => ({
  since: at - ms,
  at,
  through: true,
  wasFull: true,
  maxWaitMs: 30_000,
  ...more,
});
const after = (allowance: Allowance, ...waits: EndedWait[]): number =>
  waits.reduce(afterWait, allowance).size;
const of = (size: number): Allowance => ({ ...newAllowance, size });

it('one is allowed at first, and one more for each that gets through within a second', () => {
  expect(after(newAllowance)).toBe(1);
  expect(after(newAllowance, waited(300), waited(1000))).toBe(3);
  expect(after(of(64), waited(300))).toBe(64);
});

it('what takes longer makes no more, nor does what left a line with room', () => {
  expect(after(of(8), waited(1001))).toBe(8);
  expect(after(of(8), waited(300, { wasFull: false }))).toBe(8);
});

it('a wait of a quarter of what may be waited halves it, and so does one that ended in vain', () => {
  expect(after(of(8), waited(7500))).toBe(4);
  expect(after(of(8), waited(100, { through: false }))).toBe(4);
  expect(after(of(1), waited(30_000, { through: false }))).toBe(1);
});

it('those that sat down before it was halved say nothing about the rest', () => {
  expect(after(of(32), waited(8000), waited(7900), waited(7600))).toBe(16);
  const later = at + 10_000;
  expect(after(of(32), waited(8000), waited(0, { since: at + 100, at: later }))).toBe(8);
});

it('a model with little patience has as much less of a short wait', () => {
  expect(after(of(8), waited(30, { maxWaitMs: 200 }))).toBe(8);
  expect(after(of(8), waited(20, { maxWaitMs: 200 }))).toBe(9);
  expect(after(of(8), waited(50, { maxWaitMs: 200 }))).toBe(4);
});

it('comes to as many as get through in about a second, whatever the rate', () => {
  for (const perSecond of [4, 20, 50]) {
    let allowance = newAllowance;
    // Each waits for those before it: as many as are allowed.
    for (let now = at; now < at + 120_000; now += 1000 / perSecond) {
      const since = now - (allowance.size * 1000) / perSecond;
      allowance = afterWait(allowance, { ...waited(0), since, at: now });
    }
    expect(Math.abs(allowance.size - perSecond)).toBeLessThanOrEqual(1);
  }
});
