import type { MessageCreateParams } from '@anthropic-ai/sdk/resources/messages';
import { RefusedError } from '../refused.ts';
import { translateRequest } from './request.ts';

export const user = { role: 'user', content: 'Hi.' };

export function translate(
  request: Record<string, unknown>,
  { model = 'claude-sonnet-4-5', stream = false, prefill = false } = {},
): MessageCreateParams {
  const body = JSON.stringify({ model: 'alias', messages: [user], ...request });
  return JSON.parse(translateRequest({ body, model, stream, prefill })) as MessageCreateParams;
}

/** The member and the code of a refusal. */
export function refusal(
  request: Record<string, unknown>,
  model = 'claude-sonnet-4-5',
  prefill = false,
): string[] {
  try {
    translate(request, { model, prefill });
  } catch (error) {
    if (error instanceof RefusedError) return [error.param, error.code];
    throw error;
  }
  return [];
}

export const weather = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Says the weather.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
export const callOf = (id: string) => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: '{"city":"Brno"}' },
});
