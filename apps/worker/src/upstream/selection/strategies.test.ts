import { describe, expect, it } from 'vitest';
import { seeded, simulate } from './simulation.fixture.ts';
import { createStrategy } from './strategies.ts';
import type { Choice } from './port.ts';
import type { Strategy } from './strategies.ts';

const targets: Choice[] = ['fast', 'middle', 'slow'].map((model, index) => ({
  provider: 'p',
  model,
  weight: [5, 3, 2][index] ?? 1,
}));
const unpriced = { costAt: () => null, sticky: undefined };
const blind = { inFlight: () => 0, firstTokenMs: () => undefined };

/** How often each target came first. */
function firsts(strategy: Strategy, times: number, view = blind) {
  const counts = new Map<string, number>(targets.map(({ model }) => [model, 0]));
  for (let i = 0; i < times; i++) {
    const [first] = strategy(targets, view, unpriced);
    counts.set(first?.model ?? '', (counts.get(first?.model ?? '') ?? 0) + 1);
  }
  return counts;
}

describe('failover', () => {
  it('keeps the order of the config', () => {
    expect(createStrategy('failover', seeded(1))(targets, blind, unpriced)).toEqual(targets);
  });
});

describe('every strategy', () => {
  const kinds = [
    'failover',
    'round-robin',
    'weighted',
    'least-loaded',
    'latency',
    'cheapest',
  ] as const;
  it.each(kinds)('%s names every target once, and takes an empty list', (kind) => {
    const strategy = createStrategy(kind, seeded(3));
    for (let i = 0; i < 200; i++) {
      expect(strategy(targets, blind, unpriced).toSorted(byModel)).toEqual(
        targets.toSorted(byModel),
      );
    }
    expect(strategy([], blind, unpriced)).toEqual([]);
  });
});

describe('cheapest', () => {
  const costs: Record<string, number | null> = { fast: 30, middle: null, slow: 10 };
  const costAt = ({ model }: { model: string }) => costs[model] ?? null;
  const order = (request: Parameters<Strategy>[2], seed = 1) =>
    createStrategy('cheapest', seeded(seed))(targets, blind, request).map(({ model }) => model);

  it('orders by cost, and those of unknown price last', () => {
    expect(order({ costAt, sticky: undefined })).toEqual(['slow', 'fast', 'middle']);
    expect(order({ costAt, sticky: 'ada' })).toEqual(['slow', 'fast', 'middle']);
  });

  it('draws between equal ones by weight', () => {
    const strategy = createStrategy('cheapest', seeded(7));
    const equal = { costAt: () => 5, sticky: undefined };
    const counts = { fast: 0, middle: 0, slow: 0 };
    for (let i = 0; i < 10_000; i++) {
      counts[strategy(targets, blind, equal)[0]?.model as 'fast'] += 1;
    }
    expect(
      deviation(new Map(Object.entries(counts)), { fast: 5000, middle: 3000, slow: 2000 }),
    ).toBeLessThan(13.8);
  });

  it('does not draw between equal ones for a sticky value', () => {
    const firsts = (sticky: string) =>
      Array.from({ length: 20 }, (_, seed) => order({ costAt: () => 5, sticky }, seed)[0]);
    const byUser = Array.from({ length: 20 }, (_, user) => new Set(firsts(`user ${user}`)));
    expect(byUser.every((seen) => seen.size === 1)).toBe(true);
    expect(new Set(byUser.flatMap((seen) => [...seen])).size).toBe(3);
  });
});

describe('round-robin', () => {
  it('gives each target exactly the same, one after the other', () => {
    const strategy = createStrategy('round-robin', seeded(1));
    expect([...firsts(strategy, 300).values()]).toEqual([100, 100, 100]);
    const order = strategy(targets, blind, unpriced);
    expect(strategy(targets, blind, unpriced)).toEqual([...order.slice(1), ...order.slice(0, 1)]);
  });

  it('does not begin at the same place in every worker', () => {
    const random = seeded(1);
    const starts = Array.from({ length: 50 }, () => createStrategy('round-robin', random)).map(
      (strategy) => strategy(targets, blind, unpriced)[0]?.model,
    );
    expect(new Set(starts).size).toBe(3);
  });
});

describe('weighted', () => {
  it('comes as near to its shares as chance allows', () => {
    const strategy = createStrategy('weighted', seeded(7));
    const chiSquare = deviation(firsts(strategy, 10_000), { fast: 5000, middle: 3000, slow: 2000 });
    // Two degrees of freedom: one honest run in a thousand is above.
    expect(chiSquare).toBeLessThan(13.8);
  });

  it('has its backups in weighted order too', () => {
    const strategy = createStrategy('weighted', seeded(8));
    const seconds = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      const [first, second] = strategy(targets, blind, unpriced);
      if (first?.model === 'fast') {
        seconds.set(second?.model ?? '', (seconds.get(second?.model ?? '') ?? 0) + 1);
      }
    }
    const all = [...seconds.values()].reduce((sum, count) => sum + count, 0);
    expect(deviation(seconds, { middle: all * 0.6, slow: all * 0.4 })).toBeLessThan(10.8);
  });
});

describe('latency', () => {
  it('sends more than four fifths to the fastest, and to each of the others regularly', () => {
    const { served } = simulate({ strategy: 'latency', seed: 5, requests: 3000, load: 0.3 });
    expect(served('fast')).toBeGreaterThan(0.8);
    expect(served('fast')).toBeLessThan(0.97);
    expect(served('middle')).toBeGreaterThan(0.02);
    expect(served('slow')).toBeGreaterThan(0.02);
  });

  it('leaves the fastest when it becomes slow, and comes back to it', () => {
    const { served } = simulate({
      strategy: 'latency',
      seed: 6,
      requests: 9000,
      load: 0.1,
      speed: (model, n) => (model === 'fast' && n > 3000 && n < 6000 ? 800 : undefined),
    });
    expect(served('fast', 3300, 6000)).toBeLessThan(0.1);
    expect(served('middle', 3300, 6000)).toBeGreaterThan(0.8);
    expect(served('fast', 7500, 9000)).toBeGreaterThan(0.8);
  });

  it('asks a target that nobody knows, one request at a time', () => {
    const strategy = createStrategy('latency', seeded(2));
    let slowInFlight = 0;
    const view = {
      inFlight: ({ model }: Choice) => (model === 'slow' ? slowInFlight : 0),
      firstTokenMs: ({ model }: Choice) => (model === 'slow' ? undefined : 50),
    };
    const idle = firsts(strategy, 1000, view as never);
    expect(idle.get('slow')).toBeGreaterThan(50);
    expect(idle.get('slow')).toBeLessThan(150);
    slowInFlight = 1;
    expect(firsts(strategy, 1000, view as never).get('slow')).toBe(0);
  });
});

describe('least-loaded', () => {
  it('takes the one with the fewest in flight, and among equals any', () => {
    const strategy = createStrategy('least-loaded', seeded(4));
    const loads: Record<string, number> = { fast: 3, middle: 1, slow: 2 };
    const view = { ...blind, inFlight: ({ model }: { model: string }) => loads[model] ?? 0 };
    expect(strategy(targets, view, unpriced).map(({ model }) => model)).toEqual([
      'middle',
      'slow',
      'fast',
    ]);
    for (const count of firsts(strategy, 3000).values()) expect(count).toBeGreaterThan(900);
  });

  it('has a p99 near that of exact counts, with counts of the others that are 50 ms old', () => {
    for (const seed of [1, 2, 3]) {
      const p99 = (reportMs: number) => simulate({ ...busy, seed, reportMs }).p99;
      expect(p99(50)).toBeLessThan(1.3 * p99(0));
    }
  });
});

const busy = { strategy: 'least-loaded', requests: 10_000, load: 0.7, workers: 4 } as const;

const byModel = (a: Choice, b: Choice) => a.model.localeCompare(b.model);

function deviation(counts: Map<string, number>, expected: Record<string, number>): number {
  return Object.entries(expected).reduce(
    (sum, [name, count]) => sum + ((counts.get(name) ?? 0) - count) ** 2 / count,
    0,
  );
}
