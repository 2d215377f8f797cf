import { assembleCompletion } from './completion.ts';
import { expect, it } from 'vitest';
import { read } from './stream.fixture.ts';
import { wholeAsStream } from './whole-as-stream.ts';
import * as whole from './whole.ts';

const readWhole = (text: string) =>
  whole.readWhole(text, { model: 'asked', body: '{}' }, () => 9_999);

const answer = (choices: unknown) => JSON.stringify({ id: 'c', created: 1, model: 'm', choices });
const message = { role: 'assistant', content: 'A' };

it.each([
  ['JSON that is cut', answer([{ message }]).slice(0, -4)],
  ['nothing', ''],
  ['an object without choices', '{}'],
  ['no choice', answer([])],
  ['choices that are no list', answer({ message })],
  ['a choice without a message', answer([{ index: 0 }])],
  ['a second choice that is none', answer([{ message }, null])],
  ['a message that is a text', answer([{ message: 'A' }])],
  ['content that is a number', answer([{ message: { content: 5 } }])],
  ['tool calls that are no list', answer([{ message: { content: null, tool_calls: 'x' } }])],
])('a whole answer that cannot be read is a fault: %s', (_what, text) => {
  expect(readWhole(text)).toMatchObject({ fault: { code: 'upstream_invalid_response' } });
});

it('a whole answer may lack content, or its message where it says why', () => {
  const called = answer([{ message: { content: null, tool_calls: [{ id: 'a' }] } }]);
  expect(readWhole(called)).toMatchObject({ kind: 'completed', finishReason: null });
  const filtered = answer([{ index: 0, finish_reason: 'content_filter' }]);
  expect(readWhole(filtered)).toMatchObject({ kind: 'completed', finishReason: 'content_filter' });
});

it('a whole answer has an id, a time and a model, whatever its provider says', () => {
  expect(readWhole(answer([{ message }]))).not.toHaveProperty('body');
  const empty = JSON.stringify({ id: '', created: 0, model: '', choices: [{ message }], x: 1 });
  for (const text of [empty, JSON.stringify({ choices: [{ message }], x: 1 })]) {
    const read = readWhole(text);
    if (!('body' in read)) throw new Error('no body');
    expect(JSON.parse(read.body ?? '')).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      created: 9,
      model: 'asked',
      choices: [{ message }],
      x: 1,
    });
  }
});

it('a tool call in a whole answer has an id, and its arguments are a text', () => {
  const part = (args: unknown) => ({ name: 'f', arguments: args });
  const right = { id: 'a', type: 'function', function: part('{"x":1}') };
  const calling = (...calls: unknown[]) => answer([{ message: { ...message, tool_calls: calls } }]);
  expect(readWhole(calling(right))).not.toHaveProperty('body');
  const read = readWhole(
    calling(right, { type: 'function', function: part({ x: 1 }) }).replace(
      '{"x":1}}}',
      '{"x":12345678901234567890}}}',
    ),
  );
  if (!('body' in read)) throw new Error('no body');
  const second = part('{"x":12345678901234567890}');
  expect(JSON.parse(read.body ?? '')).toEqual({
    id: 'c',
    created: 1,
    model: 'm',
    choices: [
      {
        message: {
          ...message,
          tool_calls: [
            right,
            { id: expect.stringMatching(/^call_/), type: 'function', function: second },
          ],
        },
      },
    ],
  });
  const old = answer([{ message: { ...message, function_call: part({ x: 1 }) } }]);
  expect(readWhole(old)).toMatchObject({ body: expect.stringContaining('"{\\"x\\":1}"') });
});

it('every tool call of a whole answer has an id of its own and arguments that are a text, as in a stream', () => {
  const callOf = (id: object, args: unknown, name = 'f') => ({
    ...id,
    type: 'function',
    function: { name, arguments: args },
  });
  const right = [callOf({ id: 'a' }, '{}'), callOf({ id: 'b' }, '{}')];
  const sent = (calls: unknown[]) => answer([{ index: 0, message: { tool_calls: calls } }]);
  expect(readWhole(sent(right))).not.toHaveProperty('body');

  const calls = [
    callOf({ id: 'a' }, '{"x":1}'),
    callOf({}, { y: 12345 }),
    callOf({ id: '' }, '{}', 'g'),
    callOf({ id: 'a' }, '{}', 'h'),
    callOf({ id: null }, '{}', 'i'),
  ];
  // As of a number that a double cannot hold.
  const text = sent(calls).replace('12345', '12345678901234567890');
  const got = readWhole(text);
  if (!('body' in got)) throw new Error('no body');
  const repaired = (JSON.parse(got.body ?? '') as { choices: [{ message: { tool_calls: [] } }] })
    .choices[0].message.tool_calls as { id: string }[];
  const own = expect.stringMatching(/^call_[0-9a-f]{32}$/);
  expect(repaired).toEqual([
    calls[0],
    callOf({ id: own }, expect.anything()),
    callOf({ id: own }, '{}', 'g'),
    callOf({ id: own }, '{}', 'h'),
    callOf({ id: own }, '{}', 'i'),
  ]);
  expect(new Set(repaired.map(({ id }) => id)).size).toBe(5);
  expect(got.body).toContain(String.raw`"{\"y\":12345678901234567890}"`);
  const streamed = assembleCompletion(read(wholeAsStream(got.body ?? '')).chunks);
  expect(streamed?.choices[0]?.message.tool_calls).toEqual(repaired);
});
