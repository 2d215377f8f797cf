import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  blockDelta,
  blockStart,
  blockStop,
  eventsOf,
  messageDelta,
  messageStart,
  messageStop,
  ping,
  text,
  wire,
} from './events.fixture.ts';
import { answer, asOpenAi, deltas, hello, read } from './stream.fixture.ts';

describe('a stream of Anthropic', () => {
  it('becomes chunks with one identity, the role first and the finish_reason last', () => {
    const result = read(wire(hello));
    expect(deltas(result)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { content: 'Hel' },
      { content: 'lo 🌍' },
      asOpenAi({}),
    ]);
    expect(result.chunks.map((chunk) => chunk.choices[0]!.finish_reason)).toEqual([
      null,
      null,
      null,
      'stop',
    ]);
    for (const { id, model } of [...result.chunks, ...result.usages]) {
      expect([id, model]).toEqual(['chatcmpl-msg_1', 'claude-test-1']);
    }
    expect(result.verdictAtPush).toBe(true);
  });

  it('tells what the prompt cost at once, for an answer that breaks off', () => {
    const { usages } = read(wire(hello.slice(0, 3)));
    expect(usages).toMatchObject([{ choices: [], usage: { prompt_tokens: 33 } }]);
  });

  it('ends with a usage chunk that counts the cached tokens as prompt tokens', () => {
    const { usages, verdict } = read(wire(hello));
    const usage = {
      prompt_tokens: 33,
      completion_tokens: 7,
      total_tokens: 40,
      prompt_tokens_details: { cached_tokens: 20 },
      cache_creation_input_tokens: 3,
      cache_read_input_tokens: 20,
      cache_creation: { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 0 },
      service_tier: 'standard',
    };
    expect(usages.at(-1)).toMatchObject({ id: 'chatcmpl-msg_1', choices: [], usage });
    expect(verdict).toEqual({ kind: 'completed', finishReason: 'stop', usage });
  });

  it('shows thoughts as reasoning_content, and keeps their signatures for a tool loop', () => {
    const result = read(
      wire([
        messageStart(),
        ...eventsOf({ type: 'thinking', thinking: 'let me see', signature: 'sig-a' }, 0),
        ...eventsOf({ type: 'redacted_thinking', data: 'enc' }, 1),
        ...eventsOf({ type: 'thinking', thinking: 'and again', signature: 'sig-b' }, 2),
        ...eventsOf({ type: 'tool_use', id: 'toolu_1', name: 'look', input: { at: 1 } }, 3),
        messageDelta('tool_use'),
        messageStop,
      ]),
    );
    const { message, finish_reason: reason } = answer(result);
    expect(message['reasoning_content']).toBe('let me seeand again');
    expect(message['thinking_blocks']).toEqual([
      { type: 'thinking', thinking: 'let me see', signature: 'sig-a', index: 0 },
      { type: 'redacted_thinking', data: 'enc', index: 1 },
      { type: 'thinking', thinking: 'and again', signature: 'sig-b', index: 2 },
    ]);
    expect(reason).toBe('tool_calls');
  });

  it('does not send the thoughts twice where no tool loop can want them', () => {
    const result = read(
      wire([
        messageStart(),
        ...eventsOf({ type: 'thinking', thinking: 'hm', signature: 'sig' }, 0),
        ...text(1, 'Yes.'),
        messageDelta('end_turn'),
        messageStop,
      ]),
    );
    expect(answer(result).message['thinking_blocks']).toBeUndefined();
  });

  it('numbers tool calls among themselves, and names each before its arguments', () => {
    const result = read(
      wire([
        messageStart(),
        ...text(0, 'I look.'),
        ...eventsOf(
          { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Brno' } },
          1,
          6,
        ),
        ...eventsOf({ type: 'tool_use', id: 'toolu_2', name: 'time', input: {} }, 2),
        messageDelta('tool_use'),
        messageStop,
      ]),
    );
    const calls = deltas(result).flatMap((delta) => delta.tool_calls ?? []);
    expect(calls[0]).toEqual({
      index: 0,
      id: 'toolu_1',
      type: 'function',
      function: { name: 'weather', arguments: '' },
    });
    expect(
      calls
        .slice(1, 4)
        .map((call) => call.function!.arguments)
        .join(''),
    ).toBe('{"city":"Brno"}');
    expect(answer(result).message.tool_calls).toEqual([
      {
        id: 'toolu_1',
        type: 'function',
        function: { name: 'weather', arguments: '{"city":"Brno"}' },
      },
      { id: 'toolu_2', type: 'function', function: { name: 'time', arguments: '{}' } },
    ]);
  });

  it('takes the arguments that come whole with the start of a call', () => {
    const result = read(
      wire([
        messageStart(),
        blockStart(0, { type: 'tool_use', id: 'a', name: 'f', input: { x: [1] } }),
        messageDelta('tool_use'),
        messageStop,
      ]),
    );
    expect(answer(result).message.tool_calls).toMatchObject([
      { id: 'a', function: { name: 'f', arguments: '{"x":[1]}' } },
    ]);
  });

  it('reads over what the server did by itself, and keeps the pages that it cites', () => {
    const result = read(
      wire([
        messageStart(),
        blockStart(0, { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }),
        blockDelta(0, { type: 'input_json_delta', partial_json: '{"query":"x"}' }),
        blockStop(0),
        blockStart(1, { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [] }),
        blockStop(1),
        ...text(2, 'So: '),
        blockStart(3, { type: 'text', text: '', citations: [] }),
        blockDelta(3, {
          type: 'citations_delta',
          citation: { type: 'web_search_result_location', url: 'https://a.example', title: 'A' },
        }),
        blockDelta(3, { type: 'text_delta', text: 'it is.' }),
        blockStop(3),
        messageDelta('end_turn'),
        messageStop,
      ]),
    );
    const { message } = answer(result);
    expect(message.content).toBe('So: it is.');
    expect(message.tool_calls).toBeUndefined();
    expect(message['annotations']).toEqual([
      {
        type: 'url_citation',
        url_citation: { start_index: 4, end_index: 10, title: 'A', url: 'https://a.example' },
      },
    ]);
  });

  it.each([
    ['end_turn', 'stop'],
    ['stop_sequence', 'stop'],
    ['max_tokens', 'length'],
    ['model_context_window_exceeded', 'length'],
    ['pause_turn', 'length'],
    ['tool_use', 'tool_calls'],
    ['refusal', 'content_filter'],
    ['something_new', 'stop'],
    ['constructor', 'stop'],
  ])('ends with stop_reason %s as %s', (stopReason, finishReason) => {
    const { chunks, verdict } = read(
      wire([messageStart(), ...text(0, 'x'), messageDelta(stopReason), messageStop]),
    );
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe(finishReason);
    expect(verdict).toMatchObject({ kind: 'completed', finishReason });
  });

  it('says why the model refused', () => {
    const details = { type: 'refusal', category: 'cyber', explanation: 'Not that.' };
    const result = read(
      wire([messageStart(), messageDelta('refusal', { stop_details: details }), messageStop]),
    );
    expect(answer(result)).toMatchObject({
      message: { refusal: 'Not that.' },
      finish_reason: 'content_filter',
    });
  });
});

it('reads the same whatever packets the bytes come in', () => {
  const events = [
    messageStart(),
    ping,
    ...eventsOf({ type: 'thinking', thinking: 'žluťoučký 🐎?', signature: 'c2ln' }, 0, 3),
    ...text(1, '日本', '語 🙂\u2028\r\n', '"quoted" \\ '),
    ...eventsOf(
      { type: 'tool_use', id: 'toolu_1', name: 'f', input: { 'k"': ['\n', 1e300] } },
      2,
      2,
    ),
    messageDelta('tool_use'),
    messageStop,
  ];
  const bytes = Buffer.from(wire(events).replaceAll('\n\n', '\r\n\r\n'));
  const whole = read(bytes);
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 200 });
  fc.assert(
    fc.property(cuts, (places) => {
      const split = read(
        bytes,
        places.toSorted((a, b) => a - b),
      );
      expect(split.texts).toEqual(whole.texts);
      expect(split.usages).toEqual(whole.usages);
      expect(split.verdict).toEqual(whole.verdict);
    }),
    { numRuns: 150 },
  );
});
