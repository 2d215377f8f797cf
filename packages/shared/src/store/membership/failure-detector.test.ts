import { describe, expect, test } from 'vitest';
import type { WorkerSign } from './port.ts';
import {
  createFailureDetector,
  hungMs,
  staleAfterMs,
  majorityMs,
  unprovenMs,
} from './failure-detector.ts';
import type { Exemptions, FailureDetector, Failure } from './failure-detector.ts';

const viewMs = 20;

/** A fleet of workers, but for those that are `gone`, `hung` (no beat), or `deaf` (no subscription). */
function createFleet(names: string[]) {
  const gone = new Set<string>();
  const hung = new Set<string>();
  const deaf = new Set<string>();
  let time = 0;
  const signs = (): WorkerSign[] =>
    names.map((name) => ({
      name,
      beat: gone.has(name) || hung.has(name) ? 'last' : String(Math.floor(time / 250)),
      listening: !gone.has(name) && !deaf.has(name),
    }));
  const view = (detector: FailureDetector, elapsedMs = viewMs, exempt?: Exemptions): Failure[] => {
    time += elapsedMs;
    return detector.failures(signs(), { plannedMs: viewMs, elapsedMs }, exempt);
  };
  return {
    gone,
    hung,
    deaf,
    view,
    /** Views the registry until the detector reports failures; returns how many milliseconds that took. */
    until(
      detector: FailureDetector,
      withinMs = 10_000,
      exempt?: Exemptions,
    ): { ms: number; failures: Failure[] } {
      for (let ms = viewMs; ms <= withinMs; ms += viewMs) {
        const failures = view(detector, viewMs, exempt);
        if (failures.length > 0) return { ms, failures };
      }
      return { ms: Infinity, failures: [] };
    },
    warm(detector: FailureDetector) {
      for (let ms = 0; ms < 1000; ms += viewMs) expect(view(detector)).toEqual([]);
    },
  };
}

describe('a worker that stops listening', () => {
  test('is reported as gone at the first view', () => {
    const [fleet, detector] = [createFleet(['a', 'b']), createFailureDetector()];
    fleet.warm(detector);
    fleet.gone.add('a');
    expect(fleet.view(detector)).toMatchObject([{ name: 'a', cause: 'gone' }]);
  });

  test('is reported only at the next view when the first one came late', () => {
    const [fleet, detector] = [createFleet(['a', 'b']), createFailureDetector()];
    fleet.warm(detector);
    fleet.gone.add('a');
    expect(fleet.view(detector, viewMs + staleAfterMs + 1)).toEqual([]);
    expect(fleet.view(detector)).toMatchObject([{ name: 'a', cause: 'gone' }]);
  });

  test('together with most others is reported only after a while', () => {
    const [fleet, detector] = [createFleet(['a', 'b', 'c']), createFailureDetector()];
    fleet.warm(detector);
    fleet.gone.add('a').add('b');
    const { ms, failures } = fleet.until(detector);
    expect(failures.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(ms).toBeGreaterThanOrEqual(majorityMs);
    expect(ms).toBeLessThan(majorityMs + 100);
  });

  test('and was not seen alive since the connection was lost is reported late', () => {
    const [fleet, detector] = [createFleet(['a', 'b', 'c']), createFailureDetector()];
    fleet.warm(detector);
    detector.reset();
    fleet.gone.add('a');
    const { ms, failures } = fleet.until(detector);
    expect(failures).toMatchObject([{ name: 'a', cause: 'gone' }]);
    expect(ms).toBeGreaterThanOrEqual(unprovenMs);
    expect(ms).toBeLessThan(unprovenMs + 100);
  });

  test('for less than that is not reported', () => {
    const [fleet, detector] = [createFleet(['a', 'b', 'c']), createFailureDetector()];
    fleet.warm(detector);
    detector.reset();
    for (const name of ['a', 'b', 'c']) fleet.gone.add(name);
    expect(fleet.until(detector, unprovenMs - 200).failures).toEqual([]);
    fleet.gone.clear();
    expect(fleet.until(detector, 5000).failures).toEqual([]);
  });
});

describe('a worker that stops beating', () => {
  test('is reported as hung after 1.5 seconds', () => {
    const [fleet, detector] = [createFleet(['a', 'b']), createFailureDetector()];
    fleet.warm(detector);
    fleet.hung.add('a');
    const { ms, failures } = fleet.until(detector);
    expect(failures).toMatchObject([{ name: 'a', cause: 'hung' }]);
    expect(ms).toBeGreaterThanOrEqual(hungMs);
    expect(ms).toBeLessThan(hungMs + 100);
  });

  test('is not reported when the reaper itself stood still', () => {
    const [fleet, detector] = [createFleet(['a', 'b']), createFailureDetector()];
    fleet.warm(detector);
    // Beats that came in between are seen at once, and one that is due comes a little later.
    fleet.hung.add('a').add('b');
    expect(fleet.view(detector, 60_000)).toEqual([]);
    expect(fleet.view(detector)).toEqual([]);
  });

  test('for a second, as in a long garbage collection, is not reported', () => {
    const [fleet, detector] = [createFleet(['a']), createFailureDetector()];
    fleet.warm(detector);
    for (let round = 0; round < 5; round++) {
      fleet.hung.add('a');
      expect(fleet.until(detector, 1100).failures).toEqual([]);
      fleet.hung.clear();
      expect(fleet.until(detector, 300).failures).toEqual([]);
    }
  });

  test('and was removed from the registry starts with a new record', () => {
    const [fleet, detector] = [createFleet(['a', 'b']), createFailureDetector()];
    fleet.warm(detector);
    fleet.hung.add('a');
    fleet.until(detector);
    detector.forget('a');
    expect(fleet.until(detector, unprovenMs - 200).failures).toEqual([]);
  });

  test('is reported as hung although it was exonerated of a lost subscription before', () => {
    const [fleet, detector] = [createFleet(['a', 'b']), createFailureDetector()];
    fleet.warm(detector);
    fleet.deaf.add('a');
    expect(fleet.view(detector)).toMatchObject([{ name: 'a', cause: 'gone' }]);
    const exempt = { handled: new Set<string>(), exonerated: new Set(['a']) };
    expect(fleet.until(detector, 5000, exempt).failures).toEqual([]);
    fleet.hung.add('a');
    const { ms, failures } = fleet.until(detector, 5000, exempt);
    expect(failures).toMatchObject([{ name: 'a', cause: 'hung' }]);
    expect(ms).toBeLessThan(hungMs + majorityMs + 100);
  });

  test('is still observed while its failure is being handled', () => {
    const [fleet, detector] = [createFleet(['a', 'b']), createFailureDetector()];
    fleet.warm(detector);
    fleet.hung.add('a');
    const exempt = { handled: new Set(['a']), exonerated: new Set<string>() };
    expect(fleet.until(detector, hungMs + 100, exempt).failures).toEqual([]);
    expect(fleet.view(detector)).toMatchObject([{ name: 'a', cause: 'hung' }]);
  });
});
