import { expect, test, vi } from 'vitest';
import { noTokens } from './usage.ts';

test('known prices are loaded once, and only for a target without a price of its own', async () => {
  // Another file of this process may have loaded them.
  vi.resetModules();
  const { loadPrices, loadedPrice } = await import('./loaded-prices.ts');
  const priced = { price: { input: 1, output: 2 } };
  const ask = () =>
    loadedPrice('https://api.openai.com/v1', 'gpt-4o', { ...noTokens, input: 1000 }, Date.now());
  expect(loadPrices([priced, priced])).toBeUndefined();
  expect(ask()).toBeNull();
  const [one, other] = [loadPrices([priced, {}]), loadPrices([{}])];
  expect(one).toBe(other);
  await one;
  expect(ask()).toBeGreaterThan(0);
  expect(loadPrices([{}])).toBeUndefined();
});
