import { assembleCompletion } from './completion.ts';
import { describe, expect, it } from 'vitest';
import { chunk, end, events, identity, read, said } from './stream.fixture.ts';

type Delta = { role?: string; tool_calls?: Call[]; function_call?: unknown };
type Call = {
  index: number;
  id?: string;
  type?: string;
  function?: { name?: string; arguments?: string };
};
type Chunk = { choices: { index: number; delta: Delta }[] };

const deltas = (chunks: unknown[]) =>
  (chunks as Chunk[]).flatMap(({ choices }) => choices.map(({ delta }) => delta));

/** As a reader puts calls together that goes by the index alone, and joins whatever comes twice. */
function joined(chunks: unknown[]) {
  const calls: Required<Call>[] = [];
  for (const { index, id, type, function: part } of deltas(chunks).flatMap(
    (delta) => delta.tool_calls ?? [],
  )) {
    const call = (calls[index] ??= { index, id: '', type: '', function: {} });
    call.id += id ?? '';
    call.type = type || call.type;
    call.function.name = (call.function.name ?? '') + (part?.name ?? '');
    call.function.arguments = (call.function.arguments ?? '') + (part?.arguments ?? '');
  }
  return calls.map(({ index: _, ...call }) => call);
}

const call = (fields: object, name?: string | null, args?: unknown) =>
  chunk({
    tool_calls: [
      {
        ...fields,
        type: 'function',
        function: { ...(name !== undefined && { name }), arguments: args ?? '' },
      },
    ],
  });

const two = [
  { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
  { id: 'b', type: 'function', function: { name: 'g', arguments: '{"y":2}' } },
];

describe('tool calls are the same calls to every reader', () => {
  it.each([
    [
      'as they should be',
      [
        call({ index: 0, id: 'a' }, 'f'),
        call({ index: 0 }, undefined, '{"x":1}'),
        call({ index: 1, id: 'b' }, 'g'),
        call({ index: 1 }, undefined, '{"y":2}'),
      ],
    ],
    [
      'all of one index',
      [
        call({ index: 0, id: 'a' }, 'f'),
        call({ index: 0 }, undefined, '{"x":1}'),
        call({ index: 0, id: 'b' }, 'g'),
        call({ index: 0 }, undefined, '{"y":2}'),
      ],
    ],
    [
      'whole, and of one index',
      [call({ index: 0, id: 'a' }, 'f', '{"x":1}'), call({ index: 0, id: 'b' }, 'g', '{"y":2}')],
    ],
    [
      'of one index, one beside the other',
      [
        call({ index: 0, id: 'a' }, 'f'),
        call({ index: 0, id: 'b' }, 'g'),
        call({ index: 0, id: 'a' }, undefined, '{"x":1}'),
        call({ index: 0, id: 'b' }, undefined, '{"y":2}'),
      ],
    ],
    [
      'with id and name in each delta',
      [
        call({ index: 0, id: 'a' }, 'f', '{"x"'),
        call({ index: 0, id: 'a' }, 'f', ':1}'),
        call({ index: 1, id: 'b' }, 'g', '{"y"'),
        call({ index: 1, id: 'b' }, 'g', ':2}'),
      ],
    ],
    [
      'with id and name in each delta, of one index',
      [
        call({ index: 0, id: 'a' }, 'f', '{"x"'),
        call({ index: 0, id: 'a' }, 'f', ':1}'),
        call({ index: 0, id: 'b' }, 'g', '{"y"'),
        call({ index: 0, id: 'b' }, 'g', ':2}'),
      ],
    ],
    [
      'without an index',
      [
        call({ id: 'a' }, 'f'),
        call({}, undefined, '{"x":1}'),
        call({ id: 'b' }, 'g'),
        call({}, undefined, '{"y":2}'),
      ],
    ],
    ['in one delta, without an index', [chunk({ tool_calls: two })]],
    [
      'with a new id in each delta',
      [
        call({ index: 0, id: 'a' }, 'f', '{"x"'),
        call({ index: 0, id: 'c' }, undefined, ':1}'),
        call({ index: 1, id: 'b' }, 'g', '{"y"'),
        call({ index: 1, id: 'd' }, undefined, ':2}'),
      ],
    ],
    [
      'with arguments that are no text',
      [call({ index: 0, id: 'a' }, 'f', { x: 1 }), call({ index: 1, id: 'b' }, 'g', { y: 2 })],
    ],
    [
      'with empty ids and names behind',
      [
        call({ index: 0, id: 'a' }, 'f', '{"x":1}'),
        call({ index: 0, id: '' }, '', ''),
        call({ index: 1, id: 'b' }, 'g', '{"y":2}'),
        call({ index: 1, id: null }, null, ''),
      ],
    ],
  ])('%s', (_what, texts) => {
    const { chunks, verdict } = read(events(...texts) + end);
    expect(verdict).toMatchObject({ kind: 'completed' });
    expect(joined(chunks)).toEqual(two);
    expect(assembleCompletion(chunks)?.choices[0]?.message.tool_calls).toEqual(two);
  });

  it('also where the provider gives no ids: each gets one of ours', () => {
    const { chunks } = read(
      events(
        call({ index: 0 }, 'f', '{"x":1}'),
        call({ index: 0, id: '' }, 'g', '{"y"'),
        call({ index: 0 }, undefined, ':2}'),
      ) + end,
    );
    const calls = joined(chunks);
    expect(calls).toEqual(
      two.map((one) => ({ ...one, id: expect.stringMatching(/^call_\w{32}$/) })),
    );
    expect(calls[0]?.id).not.toBe(calls[1]?.id);
    expect(assembleCompletion(chunks)?.choices[0]?.message.tool_calls).toEqual(calls);
  });

  it('also where two of them have the same id: the second gets one of ours', () => {
    const { chunks } = read(
      events(
        call({ index: 0, id: 'a' }, 'f', '{"x":1}'),
        call({ index: 1, id: 'a' }, 'g', '{"y"'),
        call({ index: 1, id: 'a' }, undefined, ':2}'),
      ) + end,
    );
    const calls = joined(chunks);
    expect(calls).toEqual([two[0], { ...two[1], id: expect.stringMatching(/^call_\w{32}$/) }]);
    expect(assembleCompletion(chunks)?.choices[0]?.message.tool_calls).toEqual(calls);
  });

  it('and those that are right keep every byte', () => {
    const texts = [
      '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m", "choices":[{"index":0,"delta":{"tool_calls":[{"index":3,"id":"a","x":1.0,"function":{"name":"f","arguments":""}}]}}]}',
      '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m", "choices":[{"index":0,"delta":{"tool_calls":[{"index":3,"id":"","function":{"arguments":"{}"}}]}}]}',
    ];
    expect(read(events(...texts) + end).texts.slice(0, 2)).toEqual(texts);
  });

  it('and a function_call of old has one name', () => {
    const texts = ['{"x"', ':1}'].map((args) =>
      chunk({ function_call: { name: 'f', arguments: args } }),
    );
    const { chunks } = read(events(...texts) + end);
    expect(deltas(chunks).map(({ function_call: one }) => one)).toEqual([
      { name: 'f', arguments: '{"x"' },
      { arguments: ':1}' },
      undefined,
    ]);
  });

  it('and what is repaired keeps numbers that a double cannot hold', () => {
    const text =
      '{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"A"},"x":9007199254740993}]}';
    const { texts } = read(events(text, text) + end);
    expect(texts[1]).toContain('"x":9007199254740993');
    expect(texts[1]).not.toContain('"role"');
  });
});

describe('a stream has one identity', () => {
  const named = (members: object, delta: object = { content: 'A' }) =>
    JSON.stringify({ ...members, choices: [{ index: 0, delta, finish_reason: null }] });
  const preamble = JSON.stringify({
    id: '',
    object: '',
    created: 0,
    model: '',
    choices: [],
    prompt_filter_results: [],
  });
  const identities = (chunks: Record<string, unknown>[]) =>
    new Set(chunks.map(({ id, created, model }) => JSON.stringify([id, created, model])));

  it('the first one that the provider tells, also in what came before', () => {
    const { chunks, verdict } = read(
      events(preamble, chunk({ role: 'assistant', content: '' }), said('A')) + end,
    );
    expect(verdict).toMatchObject({ kind: 'completed' });
    expect(chunks[0]).toMatchObject({ prompt_filter_results: [] });
    expect(identities(chunks)).toEqual(new Set([JSON.stringify(['chatcmpl-1', 17, 'm'])]));
  });

  it('whatever comes later', () => {
    const later = named({ id: 'other', created: 18, model: 'n' });
    const { chunks, content } = read(
      events(said('A'), later, named({}), named({ id: '', created: 0 })) + end,
    );
    expect(content).toBe('AAAA');
    expect(identities(chunks).size).toBe(1);
  });

  it.each([
    ['nothing', {}],
    ['empty members', { id: '', created: 0, model: '' }],
    ['nulls', { id: null, created: null, model: null }],
  ])('of ours where the provider tells %s', (_what, members) => {
    const texts = [named(members, { role: 'assistant' }), named(members), named(members)];
    const { chunks, plain, usages } = read(
      events(
        ...texts,
        named(members, {}).replace('null}]', '"stop"}]'),
        '{"choices":[],"usage":{"total_tokens":3}}',
        '[DONE]',
      ),
    );
    expect(identities(chunks).size).toBe(1);
    const own = {
      id: expect.stringMatching(/^chatcmpl-\w{32}$/),
      created: expect.closeTo(Date.now() / 1000, -2),
      model: 'asked',
    };
    expect(chunks[0]).toMatchObject(own);
    expect(usages).toEqual([
      {
        id: chunks[0]?.['id'],
        object: 'chat.completion.chunk',
        created: chunks[0]?.['created'],
        model: 'asked',
        choices: [],
        usage: { total_tokens: 3 },
      },
    ]);
    // What is added to each of them costs no parsing.
    expect(plain).toBe(1);
  });

  it('the one that readers have seen', () => {
    const shown = { id: 'first', created: 1, model: 'before' };
    const { chunks } = read(events(preamble, said('A')) + end, { identity: shown });
    expect(identities(chunks)).toEqual(new Set([JSON.stringify(['first', 1, 'before'])]));
  });

  it('and waits for it with a bound', () => {
    const { chunks } = read(events(...Array.from({ length: 40 }, () => preamble)));
    expect(chunks).toHaveLength(40);
  });
});

describe('a choice has one role', () => {
  it('however often the provider tells it', () => {
    const texts = ['A', 'B', 'C', 'D'].map((content) => chunk({ role: 'assistant', content }));
    const { chunks, content, plain } = read(events(...texts) + end);
    expect(content).toBe('ABCD');
    expect(deltas(chunks).map(({ role }) => role)).toEqual([
      'assistant',
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(plain).toBe(2);
  });

  it('each of several', () => {
    const both = JSON.stringify({
      ...identity,
      choices: [0, 1].map((index) => ({ index, delta: { role: 'assistant', content: 'x' } })),
    });
    const { chunks } = read(events(both, both), { body: '{"n":2}' });
    expect(deltas(chunks).map(({ role }) => role)).toEqual([
      'assistant',
      'assistant',
      undefined,
      undefined,
    ]);
  });
});

const asking = { body: '{"stream_options":{"include_usage":true}}' };
const finishes = (chunks: unknown[]) =>
  (chunks as { choices: { index: number; finish_reason?: unknown }[] }[]).flatMap(({ choices }) =>
    choices.map(({ index, finish_reason: reason }) => [index, reason]),
  );

describe('a choice has one finish_reason', () => {
  const usage = { total_tokens: 3 };

  it('however often the provider tells it: the first one counts', () => {
    const again = chunk({ role: 'assistant', content: '' }, 'length', { usage });
    const { chunks, usages, verdict } = read(
      events(said('A'), chunk({}, 'stop'), chunk({}, 'stop'), again, '[DONE]'),
    );
    expect(finishes(chunks)).toEqual([
      [0, null],
      [0, 'stop'],
      [0, null],
      [0, null],
    ]);
    expect(usages).toMatchObject([{ choices: [], usage }]);
    expect(verdict).toMatchObject({ kind: 'completed', finishReason: 'stop', usage });
  });

  it('also beside words, which stay', () => {
    const { chunks, content } = read(
      events(chunk({ content: 'A' }, 'stop'), chunk({ content: 'B' }, 'stop'), '[DONE]'),
    );
    expect(finishes(chunks)).toEqual([
      [0, 'stop'],
      [0, null],
    ]);
    expect(content).toBe('AB');
  });

  it('each of several', () => {
    const both = (...reasons: string[]) =>
      JSON.stringify({
        ...identity,
        choices: reasons.map((reason, index) => ({ index, delta: {}, finish_reason: reason })),
      });
    const { chunks } = read(events(both('stop', ''), both('stop', 'length'), '[DONE]'), {
      body: '{"n":2}',
    });
    expect(finishes(chunks)).toEqual([
      [0, 'stop'],
      [1, ''],
      [0, null],
      [1, 'length'],
    ]);
  });
});

describe('a usage comes in a chunk of its own', () => {
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
  const standard = { ...identity, choices: [], usage };
  const texts = ['A', 'B', 'C'].map((content) => chunk({ content }));
  const stop = chunk({}, 'stop');
  const inChoice = (text: string) => {
    const { choices } = JSON.parse(text) as { choices: [object] };
    return JSON.stringify({ ...identity, choices: [{ ...choices[0], usage }] });
  };
  const beside = (text: string, more: object) =>
    JSON.stringify({ ...(JSON.parse(text) as object), ...more });

  it.each([
    ['with the last finish_reason', [...texts, beside(stop, { usage })], {}],
    ['in every chunk', [...texts, stop].map((text) => beside(text, { usage })), {}],
    ['where Moonshot puts it', [...texts, inChoice(stop)], {}],
    ['where Groq puts it', [...texts, beside(stop, { x_groq: { id: 'q', usage } })], { id: 'q' }],
  ])('%s', (_where, sent, groq) => {
    for (const body of ['{}', '{"stream_options":{"include_usage":false}}', asking.body]) {
      const got = read(events(...sent, '[DONE]'), { body });
      expect(got.content).toBe('ABC');
      expect(JSON.stringify(got.chunks)).not.toContain('prompt_tokens');
      expect(got.chunks.some((one) => 'usage' in one && body !== asking.body)).toBe(false);
      expect(got.chunks.at(-1)?.['x_groq'] ?? {}).toEqual(groq);
      // Of several, the last one counts.
      expect(got.usages.at(-1)).toEqual(standard);
      expect(got.verdict).toMatchObject({ kind: 'completed', finishReason: 'stop', usage });
    }
  });

  it('with null in the others for a client that asked', () => {
    const { chunks } = read(
      events(...[...texts, stop].map((text) => beside(text, { usage })), '[DONE]'),
      asking,
    );
    expect(chunks.map((one) => one['usage'])).toEqual([null, null, null, null]);
  });

  it('in the standard place, with all else that its chunk had', () => {
    const own = { ...identity, choices: [], x_groq: { id: 'q', usage }, provider: 'x' };
    expect(read(events(...texts, stop, JSON.stringify(own), '[DONE]')).usages).toEqual([
      { ...own, usage },
    ]);
  });
});

describe('usage that is null', () => {
  const texts = ['A', 'B', 'C'].map((content) => chunk({ content }, null, { usage: null }));

  it('is not shown to a client that did not ask', () => {
    for (const body of [
      '{}',
      '{"stream_options":null}',
      '{"stream_options":{"include_usage":false}}',
    ]) {
      const { chunks, content, plain } = read(events(...texts) + end, { body });
      expect(content).toBe('ABC');
      expect(chunks.some((one) => 'usage' in one)).toBe(false);
      expect(plain).toBe(2);
    }
  });

  it('is to one that did', () => {
    const { texts: shown } = read(events(...texts) + end, asking);
    expect(shown.slice(0, 3)).toEqual(texts);
  });
});

it('a whole answer as the only event of a stream is one of deltas', () => {
  const message = { role: 'assistant', content: 'A', tool_calls: [two[0]] };
  const text = JSON.stringify({
    ...identity,
    choices: [{ index: 0, message, finish_reason: 'tool_calls' }],
  });
  const { chunks, verdict } = read(events(text, '[DONE]'));
  expect(verdict).toMatchObject({ kind: 'completed', finishReason: 'tool_calls' });
  expect(deltas(chunks)).toEqual([{ ...message, tool_calls: [{ index: 0, ...two[0] }] }]);
});
