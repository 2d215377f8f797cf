import { expect, test } from 'vitest';
import { createCoalescingWindow, widestMs } from './window.ts';

/** Batches each 10 ms for so long, each with this lag, from `at` on; the time after them. */
function run(
  window: ReturnType<typeof createCoalescingWindow>,
  at: number,
  ms: number,
  lag: number,
) {
  for (const end = at + ms; at < end; at += 10) window.appended(lag, at);
  return at;
}

test('a punctual process has no window', () => {
  const window = createCoalescingWindow('auto');
  run(window, 0, 10_000, 1);
  expect(window.ms).toBe(0);
});

test('one slow batch among punctual ones opens no window', () => {
  const window = createCoalescingWindow('auto');
  let at = run(window, 0, 1000, 1);
  window.appended(80, at);
  at = run(window, at + 10, 1000, 1);
  expect(window.ms).toBe(0);
});

test('the window of a late process is the widest within half a second, and never wider', () => {
  const window = createCoalescingWindow('auto');
  const at = run(window, 0, 500, 30);
  expect(window.ms).toBe(widestMs);
  run(window, at, 10_000, 500);
  expect(window.ms).toBe(widestMs);
});

test('it stays while the process is neither late nor punctual', () => {
  const window = createCoalescingWindow('auto');
  const at = run(window, 0, 210, 30);
  const { ms } = window;
  expect(ms).toBeGreaterThan(0);
  run(window, at, 10_000, 15);
  expect(window.ms).toBe(ms);
});

test('it gets narrower by steps while the process is punctual, and closes', () => {
  const window = createCoalescingWindow('auto');
  let at = run(window, 0, 1000, 30);
  const seen = new Set<number>();
  for (let i = 0; i < 300; i++) {
    at = run(window, at, 20, 1);
    seen.add(window.ms);
  }
  expect([...seen]).toEqual([40, 30, 20, 0]);
});

test('a window from before a rest is closed when the next stream comes', () => {
  const window = createCoalescingWindow('auto');
  const at = run(window, 0, 1000, 30);
  expect(window.ms).toBe(widestMs);
  window.appended(1, at + 60_000);
  expect(window.ms).toBe(0);
});

test('a window of the config is that, however late the process is', () => {
  const [none, some] = [createCoalescingWindow(0), createCoalescingWindow(25)];
  run(none, 0, 1000, 500);
  run(some, 0, 5000, 0);
  expect([none.ms, some.ms]).toEqual([0, 25]);
});
