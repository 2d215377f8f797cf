import { describe, expect, test } from 'vitest';
import type { Sign } from './port.ts';
import { createSuspicion, hungMs, lateMs, mostMs, unprovenMs } from './failure-detector.ts';
import type { Settled, Suspicion, Verdict } from './failure-detector.ts';

const lookMs = 20;

/** A fleet of workers, but for those that are `gone`, `hung` (no beat), or `deaf` (no subscription). */
function createFleet(names: string[]) {
  const gone = new Set<string>();
  const hung = new Set<string>();
  const deaf = new Set<string>();
  let time = 0;
  const signs = (): Sign[] =>
    names.map((name) => ({
      name,
      beat: gone.has(name) || hung.has(name) ? 'last' : String(Math.floor(time / 250)),
      listening: !gone.has(name) && !deaf.has(name),
    }));
  const look = (suspicion: Suspicion, elapsedMs = lookMs, settled?: Settled): Verdict[] => {
    time += elapsedMs;
    return suspicion.judge(signs(), { plannedMs: lookMs, elapsedMs }, settled);
  };
  return {
    gone,
    hung,
    deaf,
    look,
    /** Looks until there are verdicts; how many milliseconds that took. */
    until(
      suspicion: Suspicion,
      withinMs = 10_000,
      settled?: Settled,
    ): { ms: number; verdicts: Verdict[] } {
      for (let ms = lookMs; ms <= withinMs; ms += lookMs) {
        const verdicts = look(suspicion, lookMs, settled);
        if (verdicts.length > 0) return { ms, verdicts };
      }
      return { ms: Infinity, verdicts: [] };
    },
    warm(suspicion: Suspicion) {
      for (let ms = 0; ms < 1000; ms += lookMs) expect(look(suspicion)).toEqual([]);
    },
  };
}

describe('a worker that stops listening', () => {
  test('is gone at the first look', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b']), createSuspicion()];
    fleet.warm(suspicion);
    fleet.gone.add('a');
    expect(fleet.look(suspicion)).toMatchObject([{ name: 'a', cause: 'gone' }]);
  });

  test('is looked at again when the look was late', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b']), createSuspicion()];
    fleet.warm(suspicion);
    fleet.gone.add('a');
    expect(fleet.look(suspicion, lookMs + lateMs + 1)).toEqual([]);
    expect(fleet.look(suspicion)).toMatchObject([{ name: 'a', cause: 'gone' }]);
  });

  test('together with most others is given time', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b', 'c']), createSuspicion()];
    fleet.warm(suspicion);
    fleet.gone.add('a').add('b');
    const { ms, verdicts } = fleet.until(suspicion);
    expect(verdicts.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(ms).toBeGreaterThanOrEqual(mostMs);
    expect(ms).toBeLessThan(mostMs + 100);
  });

  test('and was not seen alive since the connection was lost is given much time', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b', 'c']), createSuspicion()];
    fleet.warm(suspicion);
    suspicion.doubt();
    fleet.gone.add('a');
    const { ms, verdicts } = fleet.until(suspicion);
    expect(verdicts).toMatchObject([{ name: 'a', cause: 'gone' }]);
    expect(ms).toBeGreaterThanOrEqual(unprovenMs);
    expect(ms).toBeLessThan(unprovenMs + 100);
  });

  test('for less than that is none of them', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b', 'c']), createSuspicion()];
    fleet.warm(suspicion);
    suspicion.doubt();
    for (const name of ['a', 'b', 'c']) fleet.gone.add(name);
    expect(fleet.until(suspicion, unprovenMs - 200).verdicts).toEqual([]);
    fleet.gone.clear();
    expect(fleet.until(suspicion, 5000).verdicts).toEqual([]);
  });
});

describe('a worker that stops beating', () => {
  test('is hung after its time', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b']), createSuspicion()];
    fleet.warm(suspicion);
    fleet.hung.add('a');
    const { ms, verdicts } = fleet.until(suspicion);
    expect(verdicts).toMatchObject([{ name: 'a', cause: 'hung' }]);
    expect(ms).toBeGreaterThanOrEqual(hungMs);
    expect(ms).toBeLessThan(hungMs + 100);
  });

  test('is not, when it was the reaper that stood still', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b']), createSuspicion()];
    fleet.warm(suspicion);
    // Beats that came in between are seen at once, and one that is due comes a little later.
    fleet.hung.add('a').add('b');
    expect(fleet.look(suspicion, 60_000)).toEqual([]);
    expect(fleet.look(suspicion)).toEqual([]);
  });

  test('for a second, as with a long garbage collection, is none', () => {
    const [fleet, suspicion] = [createFleet(['a']), createSuspicion()];
    fleet.warm(suspicion);
    for (let round = 0; round < 5; round++) {
      fleet.hung.add('a');
      expect(fleet.until(suspicion, 1100).verdicts).toEqual([]);
      fleet.hung.clear();
      expect(fleet.until(suspicion, 300).verdicts).toEqual([]);
    }
  });

  test('and was struck off starts anew', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b']), createSuspicion()];
    fleet.warm(suspicion);
    fleet.hung.add('a');
    fleet.until(suspicion);
    suspicion.forget('a');
    expect(fleet.until(suspicion, unprovenMs - 200).verdicts).toEqual([]);
  });

  test('is hung though its subscription was lost before, and that was looked into', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b']), createSuspicion()];
    fleet.warm(suspicion);
    fleet.deaf.add('a');
    expect(fleet.look(suspicion)).toMatchObject([{ name: 'a', cause: 'gone' }]);
    const settled = { busy: new Set<string>(), excused: new Set(['a']) };
    expect(fleet.until(suspicion, 5000, settled).verdicts).toEqual([]);
    fleet.hung.add('a');
    const { ms, verdicts } = fleet.until(suspicion, 5000, settled);
    expect(verdicts).toMatchObject([{ name: 'a', cause: 'hung' }]);
    expect(ms).toBeLessThan(hungMs + mostMs + 100);
  });

  test('is seen to do so also while nothing is asked about it', () => {
    const [fleet, suspicion] = [createFleet(['a', 'b']), createSuspicion()];
    fleet.warm(suspicion);
    fleet.hung.add('a');
    const settled = { busy: new Set(['a']), excused: new Set<string>() };
    expect(fleet.until(suspicion, hungMs + 100, settled).verdicts).toEqual([]);
    expect(fleet.look(suspicion)).toMatchObject([{ name: 'a', cause: 'hung' }]);
  });
});
