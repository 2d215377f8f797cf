import { expect, it } from 'vitest';
import { figuresOf, ratioOf } from './figures.ts';
import { goalsOf } from './goals.ts';
import type { Measurement } from './costs.ts';
import type { SystemName } from '../systems/system.ts';

interface Given {
  round?: number;
  firstToken?: number;
  requests?: number;
  errors?: number;
  cpu?: Record<string, number>;
}

function measured(point: string, system: SystemName, given: Given): Measurement {
  const { round = 1, firstToken = 1, requests = 1_000, errors = 0, cpu = {} } = given;
  const summary = { count: 1, mean: 1, p50: 1, p95: 1, p99: 1, max: 1 };
  return {
    point,
    round,
    system,
    result: {
      elapsedMs: 2_000,
      requests,
      errors,
      faults: [],
      framesLost: 0,
      tokens: 10_000,
      pieces: 10_000,
      stalls: 0,
      firstToken: { ...summary, p50: firstToken },
      total: summary,
      gaps: summary,
    },
    cpu: { system: cpu, generator: 0.5, upstream: 0.2, others: 0 },
  };
}

const verdicts = (all: Measurement[]): string[] => goalsOf(all).map(({ verdict }) => verdict);

it('added time is taken from direct of the same round, and the median over the rounds', () => {
  const all = [1, 2, 3].flatMap((round) => [
    measured('c1', 'direct', { round, firstToken: round }),
    measured('c1', 'millrace', { round, firstToken: round + [0, 1.1, 9, 1.2][round]! }),
  ]);
  expect(figuresOf(all, 'c1', 'millrace')?.added.p50.median).toBeCloseTo(1.2);
  expect(verdicts(all)[0]).toBe('met');
});

it('CPU is summed over all processes, and split by role', () => {
  const cpu = { ingress: 0.2, worker: 0.1, redis: 0.1 };
  const figures = figuresOf(
    [measured('streams n=300', 'millrace', { cpu })],
    'streams n=300',
    'millrace',
  );
  expect(figures?.cpuPerChunk.median).toBeCloseTo(40);
  expect(figures?.busy).toMatchObject({ ingress: 0.1, worker: 0.05, redis: 0.05 });
});

it('a ratio is that of each round, and the median over the rounds', () => {
  // The machine is twice as slow in round 2; a ratio of the medians would be 1.5.
  const all = [1, 2].flatMap((round) => [
    measured('load c=64', 'millrace', { round, requests: 2_000 / round }),
    measured('load c=64', 'portkey', { round, requests: 1_000 / round }),
  ]);
  const pair = ['millrace', 'portkey'] as const;
  expect(ratioOf(all, 'load c=64', pair, 'requestsPerSecond')?.median).toBe(2);
  expect(ratioOf(all, 'c1', pair, 'requestsPerSecond')).toBeUndefined();
});

it('goals are met at their limit and missed beyond it', () => {
  const pair = (requests: number, cpu: number): Measurement[] => [
    measured('load c=64', 'millrace', { requests }),
    measured('load c=64', 'portkey', { requests: 1_000 }),
    measured('streams n=150 x 64', 'millrace', { cpu: { worker: cpu } }),
    measured('streams n=150 x 64', 'portkey', { cpu: { portkey: 1 } }),
  ];
  const judged = (all: Measurement[]): string[] => [verdicts(all)[1]!, verdicts(all)[3]!];
  expect(judged(pair(1_600, 1.3))).toEqual(['met', 'met']);
  expect(judged(pair(1_599, 1.31))).toEqual(['missed', 'missed']);
});

it('a goal without its two systems is not measured, and one with errors is missed', () => {
  expect(new Set(verdicts([]))).toEqual(new Set(['not measured']));
  const all = [
    measured('c1', 'direct', {}),
    measured('c1', 'millrace', { firstToken: 1, errors: 1 }),
  ];
  expect(verdicts(all)[0]).toBe('missed');
});
