import { expect, test } from 'vitest';
import { nativeMember } from '../../client-port.ts';
import { encodeStream } from './stream-encoder.ts';

type Data = Record<string, unknown> & { type: string };

const facts = { id: 'req_0_1', model: 'm', createdAt: 0, echo: undefined };
const chunkOf = (delta: object, finish: string | null = null, more: object = {}) =>
  JSON.stringify({
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta, finish_reason: finish }],
    ...more,
  });
const native = (event: Data) => chunkOf({}, null, { [nativeMember]: event });

function encode(...chunks: string[]): Data[] {
  const encoder = encodeStream(facts);
  const events = [...chunks.flatMap((chunk) => encoder.chunk(chunk)), ...encoder.end()];
  return events.map(({ data }) => JSON.parse(data) as Data);
}

/** The blocks as a client assembles them; throws on events that are out of order. */
function blocksOf(events: readonly Data[]): unknown[] {
  const blocks: Record<string, string>[] = [];
  let open: Record<string, string> | undefined;
  const check = (isInOrder: boolean, { type }: Data) => {
    if (!isInOrder) throw new Error(`${type} is out of order`);
  };
  for (const event of events) {
    const { type, index, content_block: block, delta } = event;
    if (type === 'content_block_start') {
      check(!open && index === blocks.length, event);
      open = { ...(block as Record<string, string>) };
      blocks.push(open);
    } else if (type === 'content_block_stop') {
      check(index === blocks.length - 1, event);
      open = undefined;
    } else if (type === 'content_block_delta') {
      check(open !== undefined && index === blocks.length - 1, event);
      const { type: _, ...pieces } = delta as Record<string, string>;
      for (const [name, piece] of Object.entries(pieces)) {
        if (open) open[name] = (open[name] ?? '') + piece;
      }
    }
  }
  if (open) throw new Error('a block has no end');
  return blocks;
}

const call = (index: number, piece: object) => chunkOf({ tool_calls: [{ index, ...piece }] });
const input = {};

test('calls whose pieces alternate, and a text between them, become blocks one after the other', () => {
  const events = encode(
    call(0, { id: 'a', function: { name: 'one', arguments: '{"x":' } }),
    call(1, { id: 'b' }),
    call(1, { function: { name: 'two', arguments: '{' } }),
    chunkOf({ content: 'text' }),
    call(0, { function: { arguments: '1}' } }),
    call(1, { function: { arguments: '}' } }),
    chunkOf({}, 'stop'),
  );
  expect(blocksOf(events)).toEqual([
    { type: 'tool_use', id: 'a', name: 'one', input, partial_json: '{"x":1}' },
    { type: 'tool_use', id: 'b', name: 'two', input, partial_json: '{}' },
    { type: 'text', text: 'text' },
  ]);
  // Some providers say `stop` beside calls.
  expect(events.at(-2)).toMatchObject({ delta: { stop_reason: 'tool_use' } });
});

test('a call has an id that Anthropic accepts, also in its older form', () => {
  const [first] = blocksOf(encode(call(0, { id: 'functions.x:0', function: { name: 'x' } })));
  expect(first).toMatchObject({ id: 'functions_x_0' });
  const [older] = blocksOf(encode(chunkOf({ function_call: { name: 'x', arguments: '{}' } })));
  expect(older).toMatchObject({ type: 'tool_use', name: 'x', partial_json: '{}' });
});

test('a message whose usage is unknown has a usage of zeros', () => {
  const end = encode(chunkOf({ content: 'a' }, 'stop')).at(-2);
  expect(end?.['usage']).toMatchObject({ input_tokens: 0, output_tokens: 0 });
});

test('the computed tokens count, whatever members of these names a provider adds', () => {
  const encoder = encodeStream(facts);
  const usage = {
    prompt_tokens: 100,
    completion_tokens: 7,
    prompt_tokens_details: { cached_tokens: 80 },
    input_tokens: 100,
    output_tokens: null,
  };
  encoder.usage(JSON.stringify({ choices: [], usage }));
  const end = JSON.parse(encoder.end().at(-2)?.data ?? '') as Data;
  expect(end['usage']).toMatchObject({
    input_tokens: 20,
    cache_read_input_tokens: 80,
    output_tokens: 7,
  });
});

test('reasoning that a provider counts beside the completion is output, and no more than the prompt was cached', () => {
  const encoder = encodeStream(facts);
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 50,
    total_tokens: 100,
    prompt_tokens_details: { cached_tokens: 161 },
    completion_tokens_details: { reasoning_tokens: 40 },
  };
  encoder.usage(JSON.stringify({ choices: [], usage }));
  const end = JSON.parse(encoder.end().at(-2)?.data ?? '') as Data;
  expect(end['usage']).toMatchObject({
    input_tokens: 0,
    cache_read_input_tokens: 10,
    output_tokens: 90,
  });
});

test('a provider’s member named `native` is no event, and its own event has one line', () => {
  const chunk = chunkOf({ content: 'a' }, null, { native: { model: 'x' } });
  expect(blocksOf(encode(chunk))).toEqual([{ type: 'text', text: 'a' }]);
  const [named] = encodeStream(facts).chunk(native({ type: 'a\nevent: b' }));
  expect(named?.name).toBe('a_event__b');
});

test('a keep-alive is an empty delta of the block that a provider ended last', () => {
  const encoder = encodeStream(facts);
  encoder.chunk(native({ type: 'content_block_start', index: 0, content_block: { type: 'text' } }));
  encoder.chunk(native({ type: 'content_block_stop', index: 0 }));
  expect(encoder.keepAlive?.()).toMatchObject({ name: 'content_block_delta' });
  const rest = encoder.end().map(({ name }) => name);
  expect(rest).toEqual(['content_block_stop', 'message_delta', 'message_stop']);
});
