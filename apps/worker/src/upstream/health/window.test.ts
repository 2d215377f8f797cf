import { describe, expect, test } from 'vitest';
import { createFirstTokenAverage } from './first-token.ts';
import { createWindow } from './window.ts';

// Far from zero, and in the middle of a minute.
const start = 1_800_000_030_000;
const second = 1000;
const minute = 60 * second;

describe('a window', () => {
  test('has what ended lately, to the second', () => {
    const window = createWindow(30 * second);
    window.add(3, 1, start);
    window.add(2, 2, start + 10 * second);
    expect(window.recent(start + 29 * second)).toEqual({ calls: 5, errors: 3 });
    expect(window.recent(start + 30 * second)).toEqual({ calls: 2, errors: 2 });
    expect(window.recent(start + 40 * second)).toEqual({ calls: 0, errors: 0 });
  });

  test('has what left it as the usual, for half an hour', () => {
    const window = createWindow(30 * second);
    window.add(10, 1, start);
    expect(window.usual(start + 29 * second)).toEqual({ calls: 0, errors: 0 });
    window.add(5, 5, start + 40 * second);
    expect(window.usual(start + 40 * second)).toEqual({ calls: 10, errors: 1 });
    expect(window.usual(start + 29 * minute)).toEqual({ calls: 15, errors: 6 });
    expect(window.usual(start + 30 * minute + 30 * second)).toEqual({ calls: 0, errors: 0 });
  });

  test('that is cleared makes nothing usual', () => {
    const window = createWindow(30 * second);
    window.add(10, 10, start);
    window.clear(start + second);
    expect(window.recent(start + second)).toEqual({ calls: 0, errors: 0 });
    window.add(1, 0, start + 2 * second);
    expect(window.usual(start + 50 * second)).toEqual({ calls: 1, errors: 0 });
  });

  test('that was not looked at for a day has forgotten everything', () => {
    const window = createWindow(30 * second);
    window.add(10, 10, start);
    expect(window.usual(start + 1440 * minute)).toEqual({ calls: 0, errors: 0 });
    window.add(1, 1, start + 1440 * minute);
    expect(window.recent(start + 1440 * minute)).toEqual({ calls: 1, errors: 1 });
  });

  test('goes on counting when the clock is set back', () => {
    const window = createWindow(30 * second);
    window.add(1, 0, start);
    window.add(1, 1, start - 60 * minute);
    expect(window.recent(start - 60 * minute)).toEqual({ calls: 2, errors: 1 });
  });

  test('adds up what many seconds bring, whatever their order', () => {
    const window = createWindow(10 * second);
    for (let i = 0; i < 100; i++) window.add(2, 1, start + i * second);
    const end = start + 99 * second;
    expect(window.recent(end)).toEqual({ calls: 20, errors: 10 });
    expect(window.usual(end)).toEqual({ calls: 180, errors: 90 });
  });
});

describe('the average of first tokens', () => {
  test('follows what is new and forgets what is old', () => {
    const average = createFirstTokenAverage();
    expect(average.read(start)).toBeUndefined();
    average.add(600, 3, start);
    expect(average.read(start)).toBe(200);
    average.add(1000, 1, start + 5 * minute);
    expect(average.read(start + 5 * minute)).toBeGreaterThan(950);
    expect(average.read(start + 14 * minute)).toBeGreaterThan(950);
    expect(average.read(start + 15 * minute)).toBeUndefined();
  });
});
