import type { Config } from '@millrace/shared/config';
import { estimateRequest } from '@millrace/shared/cost/estimate';
import { expect, test } from 'vitest';
import { createExpectUse } from './expected-use.ts';

const createdAt = Date.UTC(2026, 10, 30);
const target = (output: number | undefined) => ({
  provider: 'own',
  model: `m${output}`,
  ...(output !== undefined && { price: { input: 1, output } }),
});
const configOf = (targets: readonly ReturnType<typeof target>[]) =>
  ({
    providers: { own: { baseUrl: 'https://llm.example.com/v1' } },
    models: { m: { targets } },
  }) as unknown as Pick<Config, 'models' | 'providers'>;

function onError(error: unknown): never {
  throw error;
}

const body = '{"model":"m","max_tokens":1000,"n":2}';
const { input } = estimateRequest(body).bound;
const money = { day: 1, currency: 'USD' } as const;
const request = { model: 'm', body, createdAt };

test('a request is expected to use its longest answers at the dearest target of known price', async () => {
  let config = configOf([target(10), target(30), target(undefined)]);
  const expectUse = createExpectUse({ config: () => config, onError });
  expect(await expectUse(request, money)).toEqual({
    tokens: input + 2000,
    cost: input * 1000 + 2000 * 30_000,
  });
  config = configOf([target(20)]);
  expect(await expectUse(request, money)).toMatchObject({ cost: input * 1000 + 2000 * 20_000 });
});

test('a request costs nothing of a budget if no price is known, the model is gone, or it is in tokens only', async () => {
  const none = createExpectUse({ config: () => configOf([target(undefined)]), onError });
  const tokens = input + 2000;
  expect(await none(request, money)).toEqual({ tokens, cost: 0 });
  expect(await none({ ...request, model: 'gone' }, money)).toEqual({ tokens, cost: 0 });
  const priced = createExpectUse({ config: () => configOf([target(10)]), onError });
  const inTokens = { tokensPerDay: 5, currency: 'USD' } as const;
  expect(await priced(request, inTokens)).toEqual({ tokens, cost: 0 });
});

test('audio at a target without a price for it is expected to cost as much as text', async () => {
  const priced = createExpectUse({ config: () => configOf([target(10)]), onError });
  const audio =
    '{"model":"m","max_tokens":1000,"messages":[{"content":[{"type":"input_audio","input_audio":{}}]}]}';
  const { bound } = estimateRequest(audio);
  expect(bound.audioInput).toBeGreaterThan(0);
  expect(await priced({ ...request, body: audio }, money)).toMatchObject({
    cost: bound.input * 1000 + 1000 * 10_000,
  });
});
