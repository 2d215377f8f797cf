import { assembleCompletion } from '../openai-chat/completion.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createCallIds } from './calls.ts';
import { eventsOf, messageDelta, messageStart, messageStop, wire } from './events.fixture.ts';
import type { WireBlock } from './events.fixture.ts';
import { translateRequest } from './request.ts';
import { gather } from './stream.fixture.ts';

const translateMessages = (messages: unknown[]): string =>
  translateRequest({
    body: JSON.stringify({ messages }),
    model: 'claude-sonnet-4-5',
    stream: true,
    prefill: false,
  });

type Translated = { messages: { role: string; content: Record<string, unknown>[] }[] };

const translate = (calls: unknown[], results: unknown[] = []): Translated =>
  JSON.parse(
    translateMessages([
      { role: 'user', content: 'Go.' },
      { role: 'assistant', content: null, tool_calls: calls },
      ...results,
    ]),
  ) as Translated;

const call = (id: string, args: string) => ({
  id,
  type: 'function',
  function: { name: 'f', arguments: args },
});

it('tool calls come back from Anthropic as they went there', () => {
  const name = fc.stringMatching(/^[a-zA-Z0-9_-]{1,64}$/);
  const calls = fc.array(
    fc.record({
      id: fc.stringMatching(/^[a-zA-Z0-9_-]{1,40}$/),
      name,
      input: fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()),
    }),
    { minLength: 1, maxLength: 5 },
  );
  const unique = calls.filter((list) => new Set(list.map(({ id }) => id)).size === list.length);
  fc.assert(
    fc.property(unique, fc.integer({ min: 1, max: 12 }), (list, size) => {
      const asked = list.map((item) => ({
        id: item.id,
        type: 'function',
        function: { name: item.name, arguments: JSON.stringify(item.input) },
      }));
      const blocks = translate(asked).messages[1]!.content as unknown as WireBlock[];
      const events = blocks.flatMap((block, index) => eventsOf(block, index, size));
      const { chunks } = gather(
        wire([messageStart(), ...events, messageDelta('tool_use'), messageStop]),
      );
      expect(assembleCompletion(chunks)!.choices[0]!.message.tool_calls).toEqual(asked);
    }),
    { numRuns: 100 },
  );
});

it.each([
  [
    '{"id":12345678901234567890,"x":0.1000000000000000055}',
    '{"id":12345678901234567890,"x":0.1000000000000000055}',
  ],
  ['', '{}'],
  ['  ', '{}'],
  ['[1]', '{"invalid_arguments":"[1]"}'],
  ['{"a":', '{"invalid_arguments":"{\\"a\\":"}'],
  ['null', '{"invalid_arguments":"null"}'],
])('arguments %s are the input %s', (args, input) => {
  const text = translateMessages([
    { role: 'user', content: 'Go.' },
    { role: 'assistant', tool_calls: [call('a', args)] },
  ]);
  expect(text).toContain(`"input":${input}}`);
});

it('replaces ids that Anthropic does not take, the same for a call and its result', () => {
  const { messages } = translate(
    [call('functions.f:0', '{}'), call('functions_f_0', '{}'), call('ok-1', '{}')],
    [
      { role: 'tool', tool_call_id: 'ok-1', content: 'c' },
      { role: 'tool', tool_call_id: 'functions.f:0', content: 'a' },
      { role: 'tool', tool_call_id: 'functions_f_0', content: 'b' },
    ],
  );
  const used = messages[1]!.content.map(({ id }) => id);
  expect(used).toEqual(['functions_f_0', 'functions_f_0_2', 'ok-1']);
  expect(messages[2]!.content.map((block) => block['tool_use_id'])).toEqual([
    used[2],
    used[0],
    used[1],
  ]);
});

it('gives every id one of its own', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ maxLength: 4 }), { maxLength: 40 }), (given) => {
      const ids = createCallIds();
      const clean = given.map((id) => ids.clean(id, 'id'));
      expect(new Set(clean).size).toBe(given.length);
      for (const id of clean) expect(id).toMatch(/^[a-zA-Z0-9_-]+$/);
      expect(given.map((id) => ids.clean(id, 'id'))).toEqual(clean);
    }),
  );
});
