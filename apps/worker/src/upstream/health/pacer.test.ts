import { expect, onTestFinished, test, vi } from 'vitest';
import { pass } from './health.fixture.ts';
import { createPacer } from './pacer.ts';

function startPacer(readers: number) {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const sent: number[] = [];
  const startedAt = performance.now();
  const pacer = createPacer({
    send: () => sent.push(Math.round(performance.now() - startedAt)),
    readers: () => readers,
  });
  return { pacer, sent };
}

test.each([
  [2, 'soon', 50],
  [100, 'soon', 500],
  [2, 'urgent', 2],
  [100, 'urgent', 100],
] as const)('in a fleet of %i what changes %s is sent every %i ms', async (readers, when, gap) => {
  const { pacer, sent } = startPacer(readers);
  for (let ms = 0; ms < 1000; ms++) {
    pacer[when]();
    await pass(1);
  }
  const gaps = sent.slice(1).map((at, i) => at - (sent[i] ?? 0));
  expect(gaps.length).toBeGreaterThan(0);
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(gap);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(gap + 2);
});

test('what all must know is sent at once, and once', async () => {
  const { pacer, sent } = startPacer(100);
  pacer.soon();
  await pass(5);
  pacer.soon();
  pacer.atOnce();
  pacer.atOnce();
  await pass(600);
  expect(sent).toHaveLength(2);
  expect(sent[1]).toBeLessThanOrEqual(7);
});
