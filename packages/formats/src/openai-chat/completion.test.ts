import { describe, expect, it } from 'vitest';
import { assembleCompletion } from './completion.ts';

const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 17, model: 'm-1' };

const delta = (value: unknown, rest: object = {}, index: unknown = 0) => ({
  ...head,
  choices: [{ index, delta: value, logprobs: null, finish_reason: null, ...rest }],
});

const end = (reason = 'stop', index = 0) => delta({}, { finish_reason: reason }, index);

/** Frozen to the last leaf, so that a chunk which is written to fails the test. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) frozen(inner);
  }
  return value;
}

function assemble(...chunks: unknown[]) {
  const completion = assembleCompletion(chunks.map(frozen));
  if (!completion) throw new Error('no completion');
  return completion;
}

const messageOf = (...deltas: unknown[]) =>
  assemble(...deltas.map((value) => delta(value)), end()).choices[0]!.message;

describe('a stream adds up to', () => {
  it('the chat.completion that a call without stream would have had', () => {
    const usage = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };
    expect(
      assemble(
        delta({ role: 'assistant', content: '', refusal: null }),
        delta({ content: 'Good ' }),
        delta({ content: 'day' }),
        end(),
        { ...head, service_tier: 'default', choices: [], usage, obfuscation: 'x' },
      ),
    ).toEqual({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 17,
      model: 'm-1',
      service_tier: 'default',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Good day', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage,
    });
  });

  it('several choices, in the order of their indices', () => {
    const { choices } = assemble(
      delta({ content: 'b' }, {}, 1),
      delta({ content: 'a' }, {}, 0),
      delta({ content: 'B' }, {}, 1),
      end('length', 1),
      end('stop', 0),
    );
    expect(
      choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
    ).toEqual([
      [0, 'a', 'stop'],
      [1, 'bB', 'length'],
    ]);
  });

  it('a refusal without content', () => {
    expect(
      messageOf(
        { role: 'assistant', content: null, refusal: '' },
        { refusal: 'I ' },
        { refusal: 'will not' },
      ),
    ).toEqual({ role: 'assistant', content: null, refusal: 'I will not' });
  });

  it('reasoning under the name that the provider has for it', () => {
    expect(
      messageOf(
        { role: 'assistant', content: null, reasoning_content: 'Let ' },
        { content: null, reasoning_content: 'me see' },
        { content: '4', reasoning_content: null },
      ),
    ).toMatchObject({ content: '4', reasoning_content: 'Let me see' });
    const details = (text: string, more: object = {}) => [
      { type: 'reasoning.text', index: 0, text, ...more },
    ];
    expect(
      messageOf(
        { content: '', reasoning: 'Let ', reasoning_details: details('Let ', { format: 'x' }) },
        { content: '', reasoning: 'me', reasoning_details: details('me') },
        {
          content: '',
          reasoning: null,
          reasoning_details: [{ type: 'reasoning.text', index: 0, signature: 's' }],
        },
        { content: '', reasoning_details: [{ type: 'reasoning.encrypted', index: 1, data: 'e1' }] },
        { content: '', reasoning_details: [{ type: 'reasoning.encrypted', index: 1, data: 'e2' }] },
      ),
    ).toMatchObject({
      reasoning: 'Let me',
      reasoning_details: [
        { type: 'reasoning.text', index: 0, text: 'Let me', format: 'x', signature: 's' },
        { type: 'reasoning.encrypted', index: 1, data: 'e1' },
        { type: 'reasoning.encrypted', index: 1, data: 'e2' },
      ],
    });
  });

  it('content in parts, where thinking and text are put together each', () => {
    const thinking = (text: string) => ({ type: 'thinking', thinking: [{ type: 'text', text }] });
    expect(
      messageOf(
        { role: 'assistant', content: '' },
        { content: [thinking('Let ')] },
        { content: [thinking('me')] },
        { content: [{ type: 'text', text: 'It ' }] },
        { content: 'is ' },
        {
          content: [
            { type: 'reference', reference_ids: [1] },
            { type: 'reference', reference_ids: [2] },
          ],
        },
        { content: '4' },
      ).content,
    ).toEqual([
      thinking('Let me'),
      { type: 'text', text: 'It is ' },
      { type: 'reference', reference_ids: [1] },
      { type: 'reference', reference_ids: [2] },
      { type: 'text', text: '4' },
    ]);
  });

  it('logprobs of all tokens', () => {
    const token = (text: string) => ({ token: text, logprob: -0.1, bytes: null, top_logprobs: [] });
    const { choices } = assemble(
      delta({ content: 'a' }, { logprobs: { content: [token('a')], refusal: null } }),
      delta({ content: 'bc' }, { logprobs: { content: [token('b'), token('c')], refusal: null } }),
      end(),
    );
    expect(choices[0]?.logprobs).toEqual({
      content: [token('a'), token('b'), token('c')],
      refusal: null,
    });
  });

  it('audio, whose pieces are base64 each for itself', () => {
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    expect(
      messageOf(
        { role: 'assistant', content: null, audio: { id: 'audio_1', transcript: '' } },
        { audio: { data: base64('ab') } },
        { audio: { data: base64('cdefg'), transcript: 'Good ' } },
        { audio: { data: base64('hij'), transcript: 'day', expires_at: 99 } },
      ).audio,
    ).toEqual({
      id: 'audio_1',
      data: base64('abcdefghij'),
      transcript: 'Good day',
      expires_at: 99,
    });
  });

  it('annotations and images one after the other', () => {
    const item = (n: number) => ({ type: 'url_citation', url_citation: { n } });
    expect(
      messageOf({ content: 'a', annotations: [item(1)] }, { annotations: [item(2), item(3)] })
        .annotations,
    ).toEqual([item(1), item(2), item(3)]);
  });
});

describe('tool calls', () => {
  const calls = (...lists: unknown[][]) =>
    messageOf(...lists.map((list) => ({ content: null, tool_calls: list }))).tool_calls;

  it('are put together by index, and have none in the end', () => {
    expect(
      calls(
        [{ index: 0, id: 'c0', type: 'function', function: { name: 'f', arguments: '' } }],
        [{ index: 0, function: { arguments: '{"a"' } }],
        [{ index: 1, id: 'c1', type: 'function', function: { name: 'g', arguments: '' } }],
        [
          { index: 1, function: { arguments: '{}' } },
          { index: 0, function: { arguments: ':1}' } },
        ],
      ),
    ).toEqual([
      { id: 'c0', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
      { id: 'c1', type: 'function', function: { name: 'g', arguments: '{}' } },
    ]);
  });

  it('stay the same call where name, type or id come again, empty, null or new', () => {
    expect(
      calls(
        [{ index: 0, id: 'c0', type: 'function', function: { name: 'f', arguments: null } }],
        [{ index: 0, id: '', type: 'function', function: { name: '', arguments: '{' } }],
        [{ index: 0, id: null, type: null, function: { name: null, arguments: '"a":' } }],
        [{ index: 0, id: 'c0', type: 'function', function: { name: 'f', arguments: '1' } }],
        [{ index: 0, id: 'new', type: 'function', function: { arguments: '}' } }],
      ),
    ).toEqual([{ id: 'c0', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }]);
  });

  it('are told apart by id and name where all have the same index, or none', () => {
    const call = (id: string, name: string) => ({
      id,
      type: 'function',
      function: { name, arguments: '{}' },
    });
    const both = [call('c0', 'f'), call('c1', 'f')];
    expect(calls([{ index: 0, ...both[0] }], [{ index: 0, ...both[1] }])).toEqual(both);
    expect(calls([both[0]], [both[1]])).toEqual(both);
    expect(calls([both[0]], [{ function: { arguments: '!' } }])).toEqual([
      { ...both[0], function: { name: 'f', arguments: '{}!' } },
    ]);
  });

  it('may be custom, lack a type, and have fields of the vendor', () => {
    expect(
      calls(
        [{ index: 0, id: 'c0', type: 'custom', custom: { name: 'sql', input: 'SEL' } }],
        [{ index: 0, custom: { input: 'ECT' } }],
        [
          {
            index: 1,
            id: 'c1',
            function: { name: 'f', arguments: '{}' },
            extra_content: { s: 'x' },
          },
        ],
      ),
    ).toEqual([
      { id: 'c0', type: 'custom', custom: { name: 'sql', input: 'SELECT' } },
      {
        id: 'c1',
        type: 'function',
        function: { name: 'f', arguments: '{}' },
        extra_content: { s: 'x' },
      },
    ]);
  });

  it('may be a function_call of old', () => {
    expect(
      messageOf(
        { role: 'assistant', content: null, function_call: { name: 'f', arguments: '' } },
        { function_call: { arguments: '{"a"' } },
        { function_call: { arguments: ':1}' } },
      ).function_call,
    ).toEqual({ name: 'f', arguments: '{"a":1}' });
  });
});

describe('providers with ways of their own', () => {
  it('begin with empty names (Azure), which do not count', () => {
    const filters = [{ prompt_index: 0 }];
    const filtered = { hate: { filtered: false } };
    const completion = assemble(
      { id: '', object: '', created: 0, model: '', choices: [], prompt_filter_results: filters },
      delta({ role: 'assistant', content: '' }, { content_filter_results: {} }),
      delta({ content: 'a' }, { content_filter_results: filtered }),
      delta({}, { finish_reason: 'stop', content_filter_results: {} }),
    );
    expect(completion).toMatchObject({ id: 'chatcmpl-1', created: 17, model: 'm-1' });
    expect(completion.prompt_filter_results).toEqual(filters);
    expect(completion.choices[0]?.content_filter_results).toEqual(filtered);
  });

  it('send the message so far beside each delta (Perplexity), or alone', () => {
    const beside = assemble(
      delta({ role: 'assistant', content: 'a' }, { message: { content: 'a' } }),
      delta({ content: 'b' }, { message: { content: 'ab' } }),
      { ...head, choices: [{ index: 0, message: { content: 'ab' }, finish_reason: 'stop' }] },
    );
    expect(beside.choices[0]?.message.content).toBe('ab');
    const alone = (content: string) => ({ ...head, choices: [{ index: 0, message: { content } }] });
    expect(assemble(alone('a'), alone('ab')).choices[0]?.message.content).toBe('ab');
  });

  it('report usage in every chunk, of which the last counts, or elsewhere', () => {
    const usage = (n: number) => ({ total_tokens: n });
    expect(
      assemble(
        { ...delta({ content: 'a' }), usage: usage(1) },
        { ...end(), usage: usage(2) },
        { ...head, choices: [], usage: null },
      ).usage,
    ).toEqual(usage(2));
    expect(assemble(delta({}, { finish_reason: 'stop', usage: usage(3) })).usage).toEqual(usage(3));
    expect(assemble({ ...end(), x_groq: { usage: usage(4) } }).usage).toEqual(usage(4));
    expect(assemble(end())).not.toHaveProperty('usage');
  });

  it('add fields, of which the last value that is not empty is kept', () => {
    const completion = assemble(
      {
        ...delta({ content: 'a', channel: 'x', token_id: 1 }, { native_finish_reason: null }),
        provider: 'p',
        citations: ['1'],
      },
      {
        ...delta({ content: 'b', channel: 'y', token_id: 2 }),
        citations: ['1', '2'],
        timings: null,
      },
      {
        ...delta({ channel: '' }, { finish_reason: 'stop', native_finish_reason: 'eos' }),
        citations: [],
      },
    );
    expect(completion).toMatchObject({ provider: 'p', citations: ['1', '2'], timings: null });
    expect(completion.choices[0]).toMatchObject({ native_finish_reason: 'eos' });
    expect(completion.choices[0]?.message).toMatchObject({
      content: 'ab',
      channel: 'y',
      token_id: 2,
    });
  });

  it('cut the stream: what arrived is there, without a finish_reason', () => {
    expect(assemble(delta({ content: 'a' })).choices[0]).toMatchObject({
      message: { content: 'a' },
      finish_reason: null,
    });
  });
});

describe('a stream of odd shapes', () => {
  it('is nothing where no choice was ever in it', () => {
    expect(assembleCompletion([])).toBeUndefined();
    expect(
      assembleCompletion([null, 1, 'x', [], {}, { error: {} }, { choices: [null] }]),
    ).toBeUndefined();
    expect(assembleCompletion([{ ...head, choices: [], usage: {} }])).toBeUndefined();
  });

  it('never breaks', () => {
    const odd = [
      null,
      0,
      1,
      '',
      'x',
      true,
      [],
      [[]],
      {},
      [null],
      [{}],
      { a: 1 },
      [{ text: 1 }, { thinking: [1] }],
    ];
    const fields = ['content', 'refusal', 'reasoning', 'reasoning_details', 'tool_calls', 'role'];
    fields.push('function_call', 'audio', 'annotations', 'thinking', '__proto__', 'constructor');
    const chunks: unknown[] = odd.map((value) => ({ choices: [value], usage: value, id: value }));
    for (const field of fields) {
      for (const first of odd) {
        for (const second of odd)
          chunks.push(delta({ [field]: first }), delta({ [field]: second }));
      }
    }
    for (const value of odd) {
      const call = { index: value, id: value, type: value, function: value, custom: value };
      const inner = { function: { name: value, arguments: value }, custom: { input: value } };
      chunks.push(delta({ tool_calls: [call, inner, call] }), delta({}, { logprobs: value }));
      chunks.push(delta({ audio: { data: value, transcript: value } }, {}, value));
      chunks.push(delta({}, { logprobs: { content: value, refusal: value, other: value } }));
      chunks.push({ created: value, model: value, choices: value, ['__proto__']: value });
    }
    for (const [n, chunk] of chunks.entries()) {
      expect(() =>
        assembleCompletion([
          delta({ content: 'a' }),
          frozen(chunk),
          frozen(chunks.at(n - 1)),
          end(),
        ]),
      ).not.toThrow();
    }
    const { choices } = assemble(delta({ role: 'assistant', content: 'a' }), ...chunks, end());
    expect(choices[0]?.finish_reason).toBe('stop');
  });

  it('cannot lend the message a prototype', () => {
    const hostile: unknown = JSON.parse('{"content":"a","__proto__":{"reasoning":"x"}}');
    expect(messageOf(hostile, { reasoning: 'y' })).toMatchObject({ content: 'a', reasoning: 'y' });
  });

  it('may be nested without end', () => {
    const nested = `${'[{"thinking":'.repeat(20_000)}"x"${'}]'.repeat(20_000)}`;
    const deep = frozenTop(JSON.parse(nested));
    for (const field of ['content', 'reasoning_details', 'tool_calls', 'vendor', 'audio']) {
      const chunks = [delta({ [field]: deep }), delta({ [field]: deep }), end()];
      expect(assembleCompletion(chunks)?.choices).toHaveLength(1);
    }
  });
});

const frozenTop = (value: unknown): unknown => Object.freeze(value);
