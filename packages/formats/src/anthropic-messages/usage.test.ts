import { expect, it } from 'vitest';
import { wire, withUsages } from './events.fixture.ts';
import { hello, read } from './stream.fixture.ts';
import { mergeUsage, toOpenAiUsage } from './usage.ts';

const counts = (prompt: number, completion: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
});

it.each<[string, object, object, ReturnType<typeof counts>, number]>([
  [
    'zeros of a compatible server',
    { input_tokens: 25, output_tokens: 1 },
    { input_tokens: 0, output_tokens: 5 },
    counts(25, 5),
    0,
  ],
  [
    'nulls',
    { input_tokens: 25, output_tokens: 1 },
    { input_tokens: null, output_tokens: 5 },
    counts(25, 5),
    0,
  ],
  [
    'no prompt at all',
    { input_tokens: 25, output_tokens: 1 },
    { output_tokens: 5 },
    counts(25, 5),
    0,
  ],
  [
    'a prompt that was not known at first',
    { input_tokens: 0, output_tokens: 0 },
    { input_tokens: 25, output_tokens: 5 },
    counts(25, 5),
    0,
  ],
  [
    'zeros beside a cache',
    { input_tokens: 4, cache_read_input_tokens: 100, output_tokens: 1 },
    {
      input_tokens: 0,
      cache_read_input_tokens: 0,
      cache_creation_input_tokens: 0,
      output_tokens: 5,
    },
    counts(104, 5),
    100,
  ],
  [
    'a prompt that turned out to be cached',
    { input_tokens: 25, output_tokens: 1 },
    { input_tokens: 0, cache_read_input_tokens: 25, output_tokens: 5 },
    counts(25, 5),
    25,
  ],
  [
    'a prompt that was compacted, cache and all',
    { input_tokens: 100, cache_read_input_tokens: 55096, output_tokens: 1 },
    {
      input_tokens: 181,
      cache_read_input_tokens: 0,
      cache_creation_input_tokens: 0,
      output_tokens: 8,
    },
    counts(181, 8),
    0,
  ],
])('a last event with %s leaves the usage consistent', (_, start, end, told, cached) => {
  const { verdict, usages } = read(wire(withUsages(hello, start, end)));
  const usage = { ...told, prompt_tokens_details: { cached_tokens: cached } };
  expect(verdict).toMatchObject({ kind: 'completed', usage });
  expect(usages.at(-1)).toMatchObject({ usage });
});

it('a count of the answer does not fall back to zero either', () => {
  const usage = mergeUsage({ output_tokens: 7, input_tokens: 3 }, { output_tokens: 0 });
  expect(toOpenAiUsage(usage)).toMatchObject(counts(3, 7));
});

it.each([undefined, {}, { output_tokens: 0 }])(
  'an answer that ends with the usage %j has no count of its own',
  (end) => {
    const events = withUsages(hello, { input_tokens: 25, output_tokens: 1 }, end);
    const { verdict, usages } = read(wire(events));
    expect(verdict).toEqual({ kind: 'completed', finishReason: 'stop', isCut: true });
    // What the prompt cost was reported at the start.
    expect(usages).toMatchObject([{ usage: counts(25, 1) }]);
  },
);
