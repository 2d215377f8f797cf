import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createWindow } from './window.ts';

const windowMs = 60_000;

it('no stretch as long as the window ever holds more than the limit', () => {
  const step = fc.record({
    after: fc.integer({ min: 0, max: 20_000 }),
    amount: fc.integer({ min: 1, max: 40 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const window = createWindow(windowMs);
      const granted: { at: number; amount: number }[] = [];
      let now = 1_000_000;
      for (const { after, amount } of steps) {
        now += after;
        if (window.wait(now, 100, amount) > 0) continue;
        window.add(now, amount);
        granted.push({ at: now, amount });
        const lately = granted.filter(({ at }) => at > now - windowMs);
        expect(lately.reduce((sum, one) => sum + one.amount, 0)).toBeLessThanOrEqual(100);
      }
    }),
  );
});

it('what has to wait fits after that time, and not before', () => {
  const step = fc.record({
    after: fc.integer({ min: 0, max: 9000 }),
    amount: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      const window = createWindow(windowMs);
      let now = 1_000_000;
      for (const { after, amount } of steps) {
        now += after;
        const wait = window.wait(now, 100, amount);
        const justBefore = window.wait(now + wait - 1, 100, amount);
        expect(justBefore > 0).toBe(wait > 0);
        now += wait;
        expect(window.wait(now, 100, amount)).toBe(0);
        window.add(now, amount);
      }
    }),
  );
});

it('an amount above the limit goes when nothing else is there', () => {
  const window = createWindow(windowMs);
  expect(window.wait(0, 100, 250)).toBe(0);
  window.add(0, 1);
  expect(window.wait(10, 100, 250)).toBeGreaterThan(windowMs - 10);
});
