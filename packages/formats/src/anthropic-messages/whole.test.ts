import { assembleCompletion } from '../openai-chat/completion.ts';
import fc from 'fast-check';
import type { ChatCompletion } from 'openai/resources/chat/completions';
import { expect, it } from 'vitest';
import { eventsOf, messageDelta, messageStart, messageStop, wire } from './events.fixture.ts';
import type { WireBlock } from './events.fixture.ts';
import { gather } from './stream.fixture.ts';
import * as whole from './whole.ts';

const readWhole = (text: string) =>
  whole.readWhole(text, { model: 'claude-asked', body: '{}' }, () => 9_999);
const completionOf = (text: string) =>
  JSON.parse((readWhole(text) as { body: string }).body) as ChatCompletion;

const message = (content: readonly unknown[], fields: Record<string, unknown> = {}): string =>
  JSON.stringify({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-test-1',
    content,
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 5, output_tokens: 2, output_tokens_details: { thinking_tokens: 1 } },
    ...fields,
  });

it('makes a message a chat completion', () => {
  const text = message([
    { type: 'thinking', thinking: 'hm', signature: 'sig' },
    { type: 'text', text: 'A, ' },
    { type: 'text', text: 'B.' },
  ]);
  const completion = completionOf(text);
  const usage = {
    prompt_tokens: 5,
    completion_tokens: 2,
    total_tokens: 7,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 1 },
  };
  expect(completion).toEqual({
    id: 'chatcmpl-msg_1',
    object: 'chat.completion',
    created: 9,
    model: 'claude-test-1',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'A, B.', refusal: null, reasoning_content: 'hm' },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage,
  });
  expect(readWhole(text)).toMatchObject({ kind: 'completed', finishReason: 'stop', usage });
});

it('keeps numbers that a double cannot hold in the arguments of a call', () => {
  const text = message([{ type: 'tool_use', id: 'a', name: 'f', input: { id: 1 } }]).replace(
    '"id":1',
    '"id":12345678901234567890',
  );
  const completion = completionOf(text);
  expect(completion.choices[0]!.message).toMatchObject({
    content: null,
    tool_calls: [
      {
        id: 'a',
        type: 'function',
        function: { name: 'f', arguments: '{"id":12345678901234567890}' },
      },
    ],
  });
});

it('gives a call without an id one that no other call has, in any answer', () => {
  const text = message([
    { type: 'tool_use', name: 'f', input: {} },
    { type: 'tool_use', id: '', name: 'g', input: {} },
  ]);
  const ids = [text, text].flatMap((one) =>
    (completionOf(one).choices[0]!.message.tool_calls ?? []).map(({ id }) => id),
  );
  for (const id of ids) expect(id).toMatch(/^call_[0-9a-f]{32}$/);
  expect(new Set(ids).size).toBe(4);
});

it('judges errors in disguise, and what is no message', () => {
  const error = { type: 'error', error: { type: 'api_error', message: 'Internal server error' } };
  expect(readWhole(JSON.stringify(error))).toMatchObject({
    kind: 'fault',
    fault: { code: 'upstream_server_error', httpStatus: 500, message: 'Internal server error' },
  });
  for (const text of ['', '<html>', '[]', '{}', message([], { stop_reason: null })]) {
    expect(readWhole(text)).toMatchObject({
      kind: 'fault',
      fault: { code: 'upstream_invalid_response' },
    });
  }
});

const word = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' });
const block: fc.Arbitrary<WireBlock> = fc.oneof(
  fc.record({ type: fc.constant('text' as const), text: word }),
  fc.record({ type: fc.constant('thinking' as const), thinking: word, signature: word }),
  fc.record({ type: fc.constant('redacted_thinking' as const), data: word }),
  fc.record({
    type: fc.constant('tool_use' as const),
    id: word,
    name: word,
    input: fc.dictionary(word, fc.jsonValue()),
  }),
);

it('gives the same message for an answer, streamed or not', () => {
  fc.assert(
    fc.property(
      fc.array(block, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 9 }),
      (blocks, size) => {
        const events = blocks.flatMap((content, index) => eventsOf(content, index, size));
        const body = wire([messageStart(), ...events, messageDelta('end_turn'), messageStop]);
        const { verdict, chunks } = gather(body);
        expect(verdict).toMatchObject({ kind: 'completed' });
        const streamed = assembleCompletion(chunks)!.choices[0]!;
        expect({ ...streamed.message, content: streamed.message.content || null }).toEqual(
          completionOf(message(blocks)).choices[0]!.message,
        );
      },
    ),
    { numRuns: 300 },
  );
});
