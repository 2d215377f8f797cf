import { RefusedError } from '../refused.ts';
import { translateRequest } from './request.ts';

export const user = { role: 'user', content: 'Hi.' };

type Translated = {
  contents: { role: string; parts: Record<string, unknown>[] }[];
  generationConfig?: Record<string, unknown>;
  [member: string]: unknown;
};

export function translate(
  request: Record<string, unknown>,
  { model = 'gemini-3.1-pro', prefill = false } = {},
): Translated {
  const body = JSON.stringify({ model: 'alias', messages: [user], ...request });
  return JSON.parse(translateRequest({ body, model, prefill })) as Translated;
}

/** The member and the code of a refusal. */
export function refusal(
  request: Record<string, unknown>,
  options: Parameters<typeof translate>[1] = {},
): string[] {
  try {
    translate(request, options);
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

export const callOf = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: '{"city":"Brno"}' },
  ...more,
});
