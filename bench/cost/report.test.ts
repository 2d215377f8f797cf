import { expect, it } from 'vitest';
import { asText } from '../table.ts';
import { ANSWER_WORDS, Billing, wordsOf } from './provider.ts';
import type { ProviderSpec } from './provider.ts';
import { costReport, goalsOfCost } from './report.ts';
import type { CostOfModel } from './run.ts';

const times = { count: 10, mean: 1, p50: 20, p95: 30, p99: 40, max: 50 };
const one = (model: string, cost: number, failed = 0): CostOfModel => ({
  model,
  requests: 100,
  failed,
  wrong: 0,
  cost,
  calls: { dear: 90, middle: 10, cheap: 0 },
  input: 1000,
  cached: 250,
  firstToken: times,
});
const dearest = one('failover, dearest first', 2);

it('goals are met when the worst round meets them', () => {
  const verdicts = (...rounds: CostOfModel[][]) =>
    goalsOfCost(rounds).map(({ verdict }) => verdict);
  const good = [dearest, one('cheapest', 1)];
  expect(verdicts(good, good)).toEqual(['met', 'met']);
  expect(verdicts(good, [dearest, one('cheapest', 3)])).toEqual(['missed', 'met']);
  expect(verdicts(good, [dearest, one('cheapest', 1, 1)])).toEqual(['met', 'missed']);
});

it('prints the cost of each strategy', () => {
  const text = asText(costReport([[dearest, one('cheapest', 1, 1)]]));
  expect(text).toMatch(/^failover, dearest first +20\.00 +1\.00 x +0\.0 % +20 +30 +25\.0 % /m);
  expect(text).toMatch(/^cheapest +10\.00 +0\.50 x +1\.0 % .* 90\.0 % +10\.0 % +0\.0 %$/m);
});

const spec: ProviderSpec = {
  prices: { input: 2, cachedInput: 1, output: 10 },
  firstTokenMs: 0,
  errors: 0,
  cuts: 0,
  caches: true,
};
const prompt = (text: string) => [{ role: 'user', content: text }];

it('a provider bills cached input and output by their prices', () => {
  const provider = new Billing('p', spec);
  const long = 'x'.repeat(8000);
  const first = provider.plan('q', prompt(long));
  expect(first).toMatchObject({ kind: 'answer', cached: 0, isCut: false });
  const second = provider.plan('r', prompt(`${long} and more`));
  expect(second).toMatchObject({ cached: 1920 });
  expect(provider.plan('s', prompt('x'.repeat(2000)))).toMatchObject({ cached: 0 });
  provider.charge(2000, 1500, 100);
  expect(provider.bill).toMatchObject({ requests: 3, input: 2000, cached: 1500, output: 100 });
  expect(provider.bill.cost).toBeCloseTo((500 * 2 + 1500 * 1 + 100 * 10) / 1e6, 12);
});

it('a provider continues what it is shown, and its faults depend on the request alone', () => {
  const said = { role: 'assistant', content: wordsOf('q').slice(0, 30).join(' ') };
  const plan = new Billing('p', spec).plan('q', [...prompt('x'), said]);
  expect(plan).toMatchObject({ words: wordsOf('q').slice(30) });
  const fates = () => {
    const provider = new Billing('p', { ...spec, errors: 0.2, cuts: 0.2 });
    return Array.from({ length: 500 }, (_, at) => {
      const plan = provider.plan(`q${at}`, prompt('x'));
      return plan.kind === 'error' ? 'error' : plan.words.length;
    });
  };
  expect(fates()).toEqual(fates());
  const share = (fate: string | number) => fates().filter((one) => one === fate).length / 500;
  expect(share('error')).toBeCloseTo(0.2, 1);
  expect(share(ANSWER_WORDS / 2)).toBeCloseTo(0.2, 1);
});
