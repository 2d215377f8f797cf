import type { ProviderConfig } from '@millrace/shared/config';
import { expect, it } from 'vitest';
import { prefillOf } from './prefill.ts';

const at = (
  api: ProviderConfig['api'],
  baseUrl: string,
): Pick<ProviderConfig, 'api' | 'baseUrl'> => ({ api, baseUrl });

it.each([
  [at('anthropic', 'https://api.anthropic.com'), 'claude-sonnet-4-5', 'with-tools'],
  [at('anthropic', 'https://api.anthropic.com'), 'claude-opus-4-20250514', 'with-tools'],
  [at('anthropic', 'https://api.anthropic.com'), 'claude-sonnet-4-6', false],
  [at('anthropic', 'https://proxy.example/anthropic'), 'glm-5', false],
  [at('openai', 'https://api.deepseek.com/beta'), 'deepseek-chat', true],
  [at('openai', 'https://api.mistral.ai/v1'), 'mistral-large-latest', true],
  [at('openai', 'https://api.openai.com/v1'), 'gpt-4o', false],
  [at('openai', 'https://openrouter.ai/api/v1'), 'anthropic/claude-sonnet-4.5', false],
])('at %j, %s goes on with a trailing assistant message: %s', (provider, model, expected) => {
  expect(prefillOf(provider, model)).toBe(expected);
});
