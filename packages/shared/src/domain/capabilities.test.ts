import { expect, test } from 'vitest';
import { commonCapabilities, endpointsOfServices } from './capabilities.ts';
import { endpoints } from './request.ts';

test('several models can do what each of them can, as far as it is known of all', () => {
  const one = {
    contextWindow: 100,
    maxOutputTokens: 10,
    input: ['text', 'image'],
    tools: true,
    structuredOutput: true,
    reasoning: false,
    serves: ['chat', 'embeddings'],
  } as const;
  const other = {
    contextWindow: 50,
    input: ['image', 'audio'],
    tools: true,
    serves: ['chat'],
  } as const;
  expect(commonCapabilities([one])).toEqual({ ...one, output: undefined, prefill: undefined });
  expect(commonCapabilities([one, other])).toEqual({
    contextWindow: 50,
    maxOutputTokens: undefined,
    input: ['image'],
    output: undefined,
    tools: true,
    structuredOutput: undefined,
    reasoning: false,
    prefill: undefined,
    serves: ['chat'],
  });
});

test('each endpoint belongs to one service', () => {
  expect(Object.values(endpointsOfServices).flat().toSorted()).toEqual([...endpoints].toSorted());
});
