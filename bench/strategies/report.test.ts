import { expect, it } from 'vitest';
import { asText } from '../table.ts';
import { goalsOfStrategies, strategiesReport } from './report.ts';
import type { StrategiesRound } from './run.ts';

const times = (p99: number) => ({ count: 100, mean: 1, p50: 1, p95: 2, p99, max: 400 });

const round = (latency = { fast: 90, middle: 5, slow: 5 }, p99 = 120): StrategiesRound => ({
  latency,
  leastLoaded: times(p99),
  ideal: times(100),
});

const verdicts = (...rounds: StrategiesRound[]) =>
  goalsOfStrategies(rounds).map(({ verdict }) => verdict);

it('goals are met when the worst round meets them', () => {
  expect(verdicts(round(), round())).toEqual(['met', 'met', 'met']);
  expect(verdicts(round(), round({ fast: 80, middle: 10, slow: 10 }))[0]).toBe('missed');
  expect(verdicts(round(), round({ fast: 90, middle: 10, slow: 0 }))[1]).toBe('missed');
  expect(verdicts(round(), round(undefined, 130))[2]).toBe('missed');
});

it('prints shares and times', () => {
  const text = asText(strategiesReport([round()]));
  expect(text).toMatch(/^median +90\.0 % +5\.0 % +5\.0 %$/m);
  expect(text).toMatch(/^least-loaded +100 +1\.0 +2\.0 +120\.0 +400\.0$/m);
});
