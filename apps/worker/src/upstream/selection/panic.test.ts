import type { ModelConfig } from '@millrace/shared/config';
import { createMemoryGossip } from '@millrace/shared/store/gossip/memory-gossip';
import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { policy } from '../health/breaker.fixture.ts';
import { createHealth } from '../health/health.ts';
import { unlimitedWaits } from './wait-limits.fixture.ts';
import { panicShare } from './panic.ts';
import { createSelection } from './selection.ts';
import { seeded } from './simulation.fixture.ts';

describe('the share of requests that a broken target gets', () => {
  it('follows from how often it succeeds, and is nothing for one that is dead', () => {
    const rates = [0, 0.09, 0.1, 0.25, 0.5, 1];
    expect(rates.map((rate) => panicShare('open', rate))).toEqual([0, 0, 0.2, 0.5, 1, 1]);
  });

  it('is that of the ramp alone for one that comes back from the dead', () => {
    // From nothing, after one success in a row, two, three, four.
    const rates = [0.15, 0.28, 0.39, 0.48];
    expect(rates.map((rate) => panicShare('recovering', rate))).toEqual([0, 0, 0, 1]);
  });
});

/* Two targets of one model behind the real breakers, a request every 20 ms for two minutes. */

const rateOf = new Map<string, number>();
const targets = ['a', 'b'].map((model) => ({ provider: 'p', model, weight: 1 }));

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

type Result = {
  /** Share of requests that no target was open for when they came. */
  refused: number;
  /** Share of requests that some target served. */
  served: number;
  /** Calls that each target got, over the number of requests. */
  asked: number[];
};

/** A request asks each target that is open once, until one serves it. */
async function simulate(...rates: number[]): Promise<Result> {
  const some = targets.slice(0, rates.length);
  for (const [i, { model }] of some.entries()) rateOf.set(model, rates[i] ?? 0);
  const random = seeded(7);
  const health = createHealth({
    bus: createMemoryGossip().join('w'),
    worker: 'w',
    breakerOf: () => policy,
    random,
    onError(error) {
      throw error;
    },
  });
  const selection = createSelection({
    models: {
      m: { strategy: 'failover', maxWaitMs: 0, targets: some } as unknown as ModelConfig,
    },
    providers: { p: { api: 'openai', apiKeys: [] } },
    health,
    prices: () => null,
    windows: createMemoryWindows({ now: Date.now }),
    waiting: 10,
    waitLimits: unlimitedWaits,
    now: Date.now,
    random,
    share() {},
    onError(error) {
      throw error;
    },
  });
  const requests = 6000;
  const asked = new Map(some.map(({ model }) => [model, 0]));
  let [refused, served] = [0, 0];
  for (let i = 0; i < requests; i++) {
    await vi.advanceTimersByTimeAsync(20);
    const { open } = selection.order('m', some, '{}');
    if (open.length === 0) refused += 1;
    for (const target of open) {
      const state = health.stateOf(target);
      const isProbe = state === 'half-open' && (await health.claimProbe(target));
      const isShut = state === 'open' || state === 'half-open';
      if (isShut && !isProbe && !selection.isLastResort('m', target)) continue;
      asked.set(target.model, (asked.get(target.model) ?? 0) + 1);
      const ended = health.started(target);
      if (random() < (rateOf.get(target.model) ?? 0)) {
        ended({ kind: 'ok', firstTokenMs: 5 });
        served += 1;
        break;
      }
      ended({ kind: 'fault', fault: { code: 'upstream_server_error', message: 'no' } });
    }
  }
  health.close();
  return {
    refused: refused / requests,
    served: served / requests,
    asked: [...asked.values()].map((calls) => calls / requests),
  };
}

describe('a model whose targets all fail', () => {
  it('one time in five refuses hardly a request, and serves what two tries can serve', async () => {
    const { refused, served } = await simulate(0.8, 0.8);
    expect(refused).toBeLessThan(0.005);
    expect(served).toBeGreaterThan(0.9);
  });

  it('one time in two refuses few', async () => {
    const { refused, served } = await simulate(0.5, 0.5);
    expect(refused).toBeLessThan(0.15);
    expect(served).toBeGreaterThan(0.55);
  });

  it('one time in five has no other target: it is asked all the same', async () => {
    const { refused, served } = await simulate(0.8);
    expect(refused).toBeLessThan(0.02);
    expect(served).toBeGreaterThan(0.75);
  });

  it('always is asked by probes and little else', async () => {
    const { refused, served, asked } = await simulate(0, 0);
    expect(refused).toBeGreaterThan(0.95);
    expect(served).toBe(0);
    for (const calls of asked) expect(calls).toBeLessThan(0.02);
  });
});

it('a dead target beside one that is well is asked by probes only', async () => {
  const { refused, served, asked } = await simulate(0, 1);
  expect(refused).toBe(0);
  expect(served).toBe(1);
  expect(asked[0]).toBeLessThan(0.015);
});
