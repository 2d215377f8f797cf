import { providerApis } from '@millrace/shared/domain/provider-api';
import type { ProviderApi } from '@millrace/shared/domain/provider-api';
import { describe, expect, it } from 'vitest';
import { anthropicExample } from './anthropic-messages/provider.fixture.ts';
import { geminiExample } from './gemini/provider.fixture.ts';
import { openAiExample } from './openai-chat/provider.fixture.ts';
import { responsesExample } from './openai-responses/provider.fixture.ts';
import { describeProviderFormat } from './provider-format.contract.ts';
import type { ProviderExample } from './provider-format.contract.ts';
import { providerFormats } from './provider-formats.ts';

const examples: Record<ProviderApi, ProviderExample> = {
  openai: openAiExample,
  anthropic: anthropicExample,
  'openai-responses': responsesExample,
  gemini: geminiExample,
};

describe.each(providerApis)('the format of the api %s', (api) => {
  describeProviderFormat(providerFormats[api], examples[api]);
});

it.each([
  ['anthropic', 'https://api.anthropic.com', 'claude-sonnet-4-5', 'with-tools'],
  ['anthropic', 'https://api.anthropic.com', 'claude-opus-4-20250514', 'with-tools'],
  ['anthropic', 'https://api.anthropic.com', 'claude-sonnet-4-6', false],
  ['anthropic', 'https://proxy.example/anthropic', 'glm-5', false],
  ['gemini', 'https://generativelanguage.googleapis.com', 'gemini-2.5-flash', false],
  ['gemini', 'https://generativelanguage.googleapis.com', 'gemini-3.8-flash', false],
  ['openai', 'https://api.deepseek.com/beta', 'deepseek-chat', true],
  ['openai', 'https://api.mistral.ai/v1', 'mistral-large-latest', true],
  ['openai', 'https://api.openai.com/v1', 'gpt-4o', false],
  ['openai', 'https://openrouter.ai/api/v1', 'anthropic/claude-sonnet-4.5', false],
] as const)(
  'by the api %s at %s, %s continues a trailing assistant message: %s',
  (api, baseUrl, model, expected) => {
    expect(providerFormats[api].prefillOf({ baseUrl, model })).toBe(expected);
  },
);
