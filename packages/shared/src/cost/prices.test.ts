import { describe, expect, test } from 'vitest';
import type { Config, ProviderConfig } from '../config.ts';
import { knownPrice } from './known-prices.ts';
import { createPrices } from './prices.ts';
import { noTokens, tokenCounts } from './usage.ts';

/* Usage objects as the providers send them (the shapes are theirs, the numbers are ours), and what they charge. */

const at = Date.UTC(2026, 10, 30);
const provider = (baseUrl: string) => ({ baseUrl }) as ProviderConfig;
const config = {
  providers: {
    openai: provider('https://api.openai.com/v1'),
    anthropic: provider('https://api.anthropic.com'),
    gateway: provider('https://llm.example.com/v1'),
  },
  models: {
    own: {
      targets: [
        { provider: 'gateway', model: 'priced', price: { input: 2, cachedInput: 0.5, output: 8 } },
        { provider: 'gateway', model: 'uncached', price: { input: 2, output: 8 } },
        { provider: 'gateway', model: 'free', price: { input: 0, output: 0 } },
        { provider: 'openai', model: 'gpt-4o-mini', price: { input: 1, output: 1 } },
      ],
    },
  },
} as unknown as Pick<Config, 'models' | 'providers'>;
const prices = createPrices(config, knownPrice);

/** In USD. */
function cost(name: string, model: string, usage: unknown): number | null {
  const price = prices({ provider: name, model }, tokenCounts(usage), at);
  return price === null ? null : price / 1e9;
}

describe('a known price', () => {
  test.each([
    [
      'OpenAI, a part of the prompt cached',
      ['openai', 'gpt-4o'],
      {
        prompt_tokens: 2006,
        completion_tokens: 300,
        total_tokens: 2306,
        prompt_tokens_details: { cached_tokens: 1920, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
      },
      (86 * 2.5 + 1920 * 1.25 + 300 * 10) / 1e6,
    ],
    [
      'OpenAI, reasoning is a part of the output',
      ['openai', 'o3-mini'],
      {
        prompt_tokens: 100,
        completion_tokens: 1500,
        completion_tokens_details: { reasoning_tokens: 1400 },
      },
      (100 * 1.1 + 1500 * 4.4) / 1e6,
    ],
    [
      'Anthropic, read from a cache and written to it for five minutes',
      ['anthropic', 'claude-sonnet-4-5'],
      {
        prompt_tokens: 2095,
        completion_tokens: 503,
        prompt_tokens_details: { cached_tokens: 1000 },
        cache_read_input_tokens: 1000,
        cache_creation_input_tokens: 500,
        cache_creation: { ephemeral_5m_input_tokens: 500, ephemeral_1h_input_tokens: 0 },
      },
      (595 * 3 + 1000 * 0.3 + 500 * 3.75 + 503 * 15) / 1e6,
    ],
    [
      'Anthropic, written to the cache for an hour',
      ['anthropic', 'claude-sonnet-4-5'],
      {
        prompt_tokens: 2000,
        completion_tokens: 100,
        cache_creation_input_tokens: 1000,
        cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 1000 },
      },
      (1000 * 3 + 1000 * 6 + 100 * 15) / 1e6,
    ],
    [
      'Anthropic, a long prompt of the dearer tier',
      ['anthropic', 'claude-sonnet-4-5'],
      { prompt_tokens: 250_000, completion_tokens: 1000 },
      (250_000 * 6 + 1000 * 22.5) / 1e6,
    ],
    [
      'OpenAI, audio in and out',
      ['openai', 'gpt-audio'],
      {
        prompt_tokens: 1500,
        completion_tokens: 600,
        prompt_tokens_details: { audio_tokens: 1000 },
        completion_tokens_details: { audio_tokens: 400 },
      },
      (500 * 2.5 + 1000 * 32 + 200 * 10 + 400 * 64) / 1e6,
    ],
  ] as const)('of %s', (_name, [name, model], usage, expected) => {
    expect(cost(name, model, usage)).toBeCloseTo(expected, 9);
  });
});

describe('an unknown price is null, and never 0', () => {
  const usage = { prompt_tokens: 10, completion_tokens: 10 };

  test('of a model that the data does not have', () => {
    expect(cost('openai', 'gpt-of-tomorrow', usage)).toBeNull();
  });

  test('of a provider at another URL, also for a known model', () => {
    expect(cost('gateway', 'gpt-4o', usage)).toBeNull();
  });

  test('of a provider that the config has no longer', () => {
    expect(cost('gone', 'gpt-4o', usage)).toBeNull();
  });

  test('of audio that the data has only the price of text for', () => {
    const audio = { ...usage, prompt_tokens_details: { audio_tokens: 5 } };
    expect(cost('openai', 'gpt-4o-audio-preview', audio)).toBeNull();
  });

  test('of counts that contradict each other', () => {
    const contradiction = { ...usage, prompt_tokens_details: { cached_tokens: 11 } };
    expect(cost('openai', 'gpt-4o', contradiction)).toBeNull();
  });
});

describe('a price in the config', () => {
  test('counts cached input apart', () => {
    const usage = {
      prompt_tokens: 1000,
      completion_tokens: 100,
      prompt_tokens_details: { cached_tokens: 400 },
    };
    expect(cost('gateway', 'priced', usage)).toBe((600 * 2 + 400 * 0.5 + 100 * 8) / 1e6);
    expect(cost('gateway', 'uncached', usage)).toBe((1000 * 2 + 100 * 8) / 1e6);
  });

  test('comes before the known price, and may be 0', () => {
    const usage = { prompt_tokens: 1000, completion_tokens: 1000 };
    expect(cost('openai', 'gpt-4o-mini', usage)).toBe(2000 / 1e6);
    expect(cost('gateway', 'free', usage)).toBe(0);
  });

  test('of a wildcard is for the names that it serves: the longest counts, and none for a target of its own', () => {
    const usage = { prompt_tokens: 1000, completion_tokens: 0 };
    const priced = (model: string, input?: number) => ({
      targets: [{ provider: 'openai', model, ...(input && { price: { input, output: 0 } }) }],
    });
    const models = { a: priced('*', 3), b: priced('gpt-4.1-*', 5), c: priced('gpt-4.1') };
    const own = createPrices({ ...config, models } as unknown as typeof config, knownPrice);
    const costOf = (model: string) => own({ provider: 'openai', model }, tokenCounts(usage), at);
    expect(costOf('some-model')).toBe(3_000_000);
    expect(costOf('gpt-4.1-mini')).toBe(5_000_000);
    expect(costOf('gpt-4.1')).toBe(2_000_000);
  });
});

test('an attempt without tokens costs nothing, whatever its price', () => {
  expect(prices({ provider: 'gateway', model: 'gpt-4o' }, noTokens, at)).toBe(0);
});

test('a usage that is none, or has counts that are none, has no tokens', () => {
  expect(tokenCounts(undefined)).toEqual(noTokens);
  expect(tokenCounts('17')).toEqual(noTokens);
  expect(tokenCounts({ prompt_tokens: '17', completion_tokens: -1 })).toEqual(noTokens);
  expect(tokenCounts({ prompt_tokens: null, prompt_tokens_details: [] })).toEqual(noTokens);
});

test('reasoning that a provider counts beside the completion is output', () => {
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 50,
    total_tokens: 100,
    completion_tokens_details: { reasoning_tokens: 40 },
  };
  expect(tokenCounts(usage)).toMatchObject({ output: 90, reasoning: 40 });
  expect(tokenCounts({ ...usage, total_tokens: 60 })).toMatchObject({ output: 50, reasoning: 40 });
});
