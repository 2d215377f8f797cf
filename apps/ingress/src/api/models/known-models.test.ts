import type { Config } from '@millrace/shared/config';
import { serveModel } from '@millrace/shared/domain/model-names';
import { expect, test } from 'vitest';
import { formFor } from './forms.ts';
import { createKnownModels } from './known-models.ts';

const at = (api: string, baseUrl: string, simulated = false) => ({ api, baseUrl, simulated });
const providers = {
  openai: at('openai', 'https://api.openai.com/v1'),
  anthropic: at('anthropic', 'https://api.anthropic.com'),
  google: at('gemini', 'https://generativelanguage.googleapis.com'),
  own: at('openai', 'http://10.0.0.1/v1'),
  simulated: at('openai', 'https://api.openai.com/v1', true),
};
const target = (provider: string, model: string, more: object = {}) => ({
  provider,
  model,
  ...more,
});
const models = {
  one: { targets: [target('openai', 'gpt-4o')] },
  two: { targets: [target('anthropic', 'claude-sonnet-4-5'), target('openai', 'gpt-4o')] },
  claude: {
    targets: [
      target('anthropic', 'claude-sonnet-4-5'),
      target('anthropic', 'claude-3-haiku-20240307'),
    ],
  },
  gemini: { targets: [target('google', 'gemini-2.5-flash')] },
  unknown: { targets: [target('openai', 'gpt-4o'), target('own', 'gpt-4o')] },
  unheard: { targets: [target('openai', 'no-such-model')] },
  simulated: { targets: [target('simulated', 'gpt-4o')] },
  stated: {
    targets: [
      target('own', 'x', {
        prefill: 'with-tools',
        price: { input: 1, output: 0.15 },
        capabilities: {
          contextWindow: 8000,
          maxOutputTokens: 1000,
          input: ['text', 'image'],
          output: ['text'],
          tools: true,
          structuredOutput: true,
          reasoning: false,
          serves: ['chat'],
        },
      }),
    ],
  },
  half: { targets: [target('own', 'x', { capabilities: { tools: false } }), target('own', 'y')] },
  'openai/*': { targets: [target('openai', '*', { capabilities: { tools: true } })] },
} as unknown as Config['models'];

const config = { providers, models } as unknown as Config;
const known = createKnownModels(config, (error) => {
  throw error;
});
const of = (name: string) => {
  const served = serveModel(models, name);
  if (!served) throw new Error(`${name} is not served`);
  return known.of(served);
};
const described = (name: string, headers: Record<string, string> = {}) =>
  formFor(headers).describe({ id: name, ...of(name) });

test('the context window of a model is the smallest of its targets, if all of them are known', async () => {
  expect(known.load([models['simulated']].filter((one) => one !== undefined))).toBeUndefined();
  await known.load(Object.values(models));
  const names = ['one', 'two', 'unknown', 'unheard', 'simulated', 'openai/gpt-4o'];
  expect(names.map((name) => of(name).capabilities.contextWindow)).toEqual([
    128_000,
    128_000,
    undefined,
    undefined,
    undefined,
    128_000,
  ]);
});

test('the price of a model is the highest of its targets, if all of them are known', () => {
  expect(described('one')).toMatchObject({
    pricing: { prompt: '0.0000025', completion: '0.00001', input_cache_read: '0.00000125' },
  });
  expect(described('two')).toMatchObject({
    pricing: { prompt: '0.000003', completion: '0.000015' },
  });
  for (const name of ['unknown', 'unheard', 'half']) {
    expect(described(name)).not.toHaveProperty('pricing');
  }
});

test('a config states what a model can do, and clients of OpenRouter and LiteLLM read it', () => {
  expect(described('stated')).toEqual({
    id: 'stated',
    object: 'model',
    created: expect.any(Number) as number,
    owned_by: 'millrace',
    context_length: 8000,
    architecture: {
      modality: 'text+image->text',
      input_modalities: ['text', 'image'],
      output_modalities: ['text'],
    },
    top_provider: { context_length: 8000, max_completion_tokens: 1000 },
    supported_parameters: ['tools', 'tool_choice', 'response_format', 'structured_outputs'],
    pricing: { prompt: '0.000001', completion: '0.00000015', input_cache_read: '0.000001' },
    max_output_tokens: 1000,
    supports_function_calling: true,
    supports_vision: true,
    supports_response_schema: true,
    supports_reasoning: false,
    supports_assistant_prefill: true,
    supported_endpoints: [
      '/v1/chat/completions',
      '/v1/completions',
      '/v1/messages',
      '/v1/responses',
      '/v1beta/models:generateContent',
    ],
  });
  expect(of('openai/gpt-4o').capabilities.tools).toBe(true);
});

test('a capability that is not known of all targets is absent, unless one of them lacks it', () => {
  expect(described('half')).toEqual({
    id: 'half',
    object: 'model',
    created: expect.any(Number) as number,
    owned_by: 'millrace',
    supports_function_calling: false,
  });
  expect(of('claude').capabilities).toEqual({
    contextWindow: 200_000,
    maxOutputTokens: 4096,
    input: ['text', 'image'],
    output: ['text'],
    tools: true,
    structuredOutput: false,
    reasoning: false,
    prefill: true,
    serves: ['chat'],
  });
});

test("Anthropic's and Google's forms have it in members of their own", () => {
  expect(described('claude', { 'anthropic-version': '2023-06-01' })).toMatchObject({
    max_input_tokens: 200_000,
    max_tokens: 4096,
  });
  expect(described('stated', { 'x-goog-api-key': 'k' })).toEqual({
    name: 'models/stated',
    displayName: 'stated',
    inputTokenLimit: 8000,
    outputTokenLimit: 1000,
    thinking: false,
    supportedGenerationMethods: ['generateContent', 'countTokens'],
  });
});
