import { expect, it } from 'vitest';
import { asText } from '../table.ts';
import { goalsOfPools, poolsReport } from './report.ts';
import type { PoolsRound, Throughput } from './run.ts';

const headMs = { count: 10, mean: 1, p50: 1, p95: 2, p99: 3, max: 4 };

function round(pooled: Partial<Throughput>, warmInPath = 0): PoolsRound {
  const load: Throughput = {
    requests: 1_000,
    requestsPerSecond: 1_000,
    reuseRate: 0,
    handshakesPerSecond: 1_000,
    resumed: 0,
    headMs,
  };
  return {
    pooled: { ...load, requestsPerSecond: 6_000, reuseRate: 0.995, ...pooled },
    single: load,
    http1: { requests: 300, cpuMicros: 490, connections: 64 },
    http2: { requests: 300, cpuMicros: 220, connections: 1 },
    warm: headMs,
    cold: headMs,
    inPath: { warm: warmInPath, cold: 10 },
  };
}

const verdicts = (...rounds: PoolsRound[]) => goalsOfPools(rounds).map(({ verdict }) => verdict);

it('goals are met when the worst round meets them', () => {
  expect(verdicts(round({}), round({}))).toEqual(['met', 'met', 'met']);
  expect(verdicts(round({}), round({ reuseRate: 0.99 }))).toEqual(['missed', 'met', 'met']);
  expect(verdicts(round({}), round({ requestsPerSecond: 4_999 }))).toEqual([
    'met',
    'missed',
    'met',
  ]);
  expect(verdicts(round({}), round({}, 1))).toEqual(['met', 'met', 'missed']);
});

it('prints both ways side by side', () => {
  const text = asText(poolsReport([round({})]));
  expect(text).toMatch(/^pooled +1,000 +6,000 +99\.50%/m);
  expect(text).toMatch(/^one each +1,000 +1,000 +0\.00%/m);
  expect(text).toMatch(/^HTTP\/1\.1 +300 +490 +64$/m);
  expect(text).toMatch(/^HTTP\/2 +300 +220 +1$/m);
  expect(text).toMatch(/^cold .* 10$/m);
});
