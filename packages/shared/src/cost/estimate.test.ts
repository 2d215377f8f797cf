import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Config } from '../config.ts';
import { tokensInJson, usualAnswer } from '../domain/tokens.ts';
import { estimateCost, estimateRequest } from './estimate.ts';
import { knownPrice } from './known-prices.ts';
import { createPrices } from './prices.ts';
import { maxTokens } from './usage.ts';

const at = Date.UTC(2026, 10, 30);
const messages = [{ role: 'user', content: 'Why is the sky blue? '.repeat(40) }];
const bodyOf = (members: object = {}): string => JSON.stringify({ messages, ...members });
const prices = createPrices(
  {
    providers: {
      anthropic: { baseUrl: 'https://api.anthropic.com' },
      gateway: { baseUrl: 'https://llm.example.com' },
    },
    models: {
      own: {
        targets: [
          { provider: 'gateway', model: 'priced', price: { input: 2, output: 8 } },
          { provider: 'gateway', model: 'unpriced' },
        ],
      },
    },
  } as unknown as Pick<Config, 'models' | 'providers'>,
  knownPrice,
);

describe('the tokens of a request', () => {
  test('are those of its prompt and of usual answers; the bound has the longest that it allows', () => {
    const body = bodyOf({ max_tokens: 4000, n: 3 });
    const { expected, bound, isBounded } = estimateRequest(body);
    const input = Math.ceil(tokensInJson(body));
    expect(expected).toMatchObject({ input, output: 3 * usualAnswer, cached: 0, cacheWritten: 0 });
    expect(bound).toMatchObject({ input, output: 12_000 });
    expect(isBounded).toBe(true);
  });

  test('max_completion_tokens comes before max_tokens, and a shorter limit than usual is expected', () => {
    const { expected, bound } = estimateRequest(
      bodyOf({ max_tokens: 4000, max_completion_tokens: 20 }),
    );
    expect(expected.output).toBe(20);
    expect(bound.output).toBe(20);
  });

  test('have no bound without a limit of the answer: both are what is usual', () => {
    for (const limit of [undefined, null, 0, -1, 'many', 1.5]) {
      const { expected, bound, isBounded } = estimateRequest(bodyOf({ max_tokens: limit, n: 2 }));
      expect(isBounded).toBe(false);
      expect(expected.output).toBe(2 * usualAnswer);
      expect(bound).toEqual(expected);
    }
  });

  test('the bound has a prompt that is marked for a cache as written to it', () => {
    const marked = (control: object) =>
      estimateRequest(
        bodyOf({
          messages: [
            { role: 'user', content: [{ type: 'text', text: 'x', cache_control: control }] },
          ],
        }),
      );
    const short = marked({ type: 'ephemeral' });
    expect(short.bound.cacheWritten).toBe(short.bound.input);
    expect(short.bound.cacheWrittenForHour).toBe(0);
    expect(short.expected.cacheWritten).toBe(0);
    const long = marked({ type: 'ephemeral', ttl: '1h' });
    expect(long.bound.cacheWrittenForHour).toBe(long.bound.input);
  });

  test('audio is no text, and a prompt that only mentions it is', () => {
    const audio = estimateRequest(
      bodyOf({
        modalities: ['text', 'audio'],
        messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }],
      }),
    ).expected;
    expect(audio).toMatchObject({ audioInput: audio.input, audioOutput: audio.output });
    const mention = '{"modalities":["audio"],"type":"input_audio","cache_control":{}}';
    const { bound } = estimateRequest(bodyOf({ messages: [{ role: 'user', content: mention }] }));
    expect(bound).toMatchObject({ audioInput: 0, audioOutput: 0, cacheWritten: 0 });
    const parameters = { properties: { input_audio: { type: 'string' } } };
    const named = estimateRequest(bodyOf({ tools: [{ function: { parameters } }] }));
    expect(named.bound.audioInput).toBe(0);
  });

  test('are whole numbers up to a limit, and never more expected than bound', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.string(), (longest, n, content) => {
        const body = JSON.stringify({ max_tokens: longest, n, messages: [{ content }] });
        const { expected, bound } = estimateRequest(body);
        for (const { input, output } of [expected, bound]) {
          expect(Number.isInteger(input) && Number.isInteger(output)).toBe(true);
          expect(Math.max(input, output)).toBeLessThan(maxTokens);
        }
        expect(expected.output).toBeLessThanOrEqual(bound.output);
        expect(expected.input).toBe(bound.input);
      }),
    );
  });
});

describe('the cost of a request', () => {
  test('is by the price of the target, expected and bound', () => {
    const tokens = estimateRequest(bodyOf({ max_tokens: 4000 }));
    const { input } = tokens.expected;
    const cost = estimateCost(prices, { provider: 'gateway', model: 'priced' }, tokens, at);
    expect(cost).toEqual({
      expected: input * 2000 + usualAnswer * 8000,
      bound: input * 2000 + 4000 * 8000,
      isBounded: true,
    });
  });

  test('has a bound of the dearer cache writes', () => {
    const target = { provider: 'anthropic', model: 'claude-sonnet-4-5' };
    const tokens = estimateRequest(bodyOf({ max_tokens: 10, cache_control: { ttl: '1h' } }));
    const cost = estimateCost(prices, target, tokens, at);
    expect(cost.expected).toBe(tokens.expected.input * 3000 + 10 * 15_000);
    expect(cost.bound).toBe(tokens.expected.input * 6000 + 10 * 15_000);
  });

  test('is null if the price is unknown', () => {
    const target = { provider: 'gateway', model: 'unpriced' };
    const cost = estimateCost(prices, target, estimateRequest(bodyOf()), at);
    expect(cost).toEqual({ expected: null, bound: null, isBounded: false });
  });
});
