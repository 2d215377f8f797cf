import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { visibility } from '../openai-chat/chunk.ts';
import { assembleCompletion } from '../openai-chat/completion.ts';
import type { ChatCompletion } from '../openai-chat/completion.ts';
import type { Verdict } from '../port.ts';
import {
  added,
  call,
  completed,
  created,
  done,
  failed,
  functionCall,
  incomplete,
  inProgress,
  keepAlive,
  message,
  numbered,
  reasoning,
  response,
  text,
  thoughts,
  usage,
  wire,
} from './events.fixture.ts';
import type { WireEvent } from './events.fixture.ts';
import { readStream } from './stream.ts';
import { readWhole } from './whole.ts';

type Read = { verdict: Verdict; chunks: unknown[]; usages: unknown[]; answer: ChatCompletion };

/** Reads a body in packets of `size` bytes, and checks what the sink was told of each chunk. */
function read(body: string, { size = Infinity, request = {} } = {}): Read {
  const chunks: unknown[] = [];
  const usages: unknown[] = [];
  const reader = readStream(
    { body: JSON.stringify(request), model: 'asked', identity: undefined },
    {
      plain(line, content) {
        const chunk = JSON.parse(line) as { choices: { delta: unknown }[] };
        expect(chunk.choices[0]?.delta).toEqual({ content });
        chunks.push(chunk);
      },
      chunk(line, chunk, visible) {
        expect(JSON.parse(line)).toEqual(chunk);
        expect(visible).toBe(visibility(chunk) === 'visible');
        chunks.push(chunk);
      },
      usage: (line) => usages.push(JSON.parse(line)),
    },
    () => 1_700_000_000_999,
  );
  const bytes = Buffer.from(body);
  let verdict: Verdict | undefined;
  for (let at = 0; at < bytes.length && !verdict; at += size) {
    verdict = reader.push(bytes.subarray(at, at + size));
  }
  verdict ??= reader.end();
  return { verdict, chunks, usages, answer: assembleCompletion(chunks)! };
}

const choiceOf = (events: readonly WireEvent[], request = {}) =>
  read(wire(events), { request }).answer.choices[0]!;

const encrypted = (data: string, id: string, index: number) => ({
  type: 'reasoning.encrypted',
  data,
  id,
  format: 'openai-responses-v1',
  index,
});

describe('a stream of the Responses API', () => {
  it('becomes chunks with one identity, the role first, and the finish_reason and the usage last', () => {
    const { chunks, usages, verdict } = read(
      wire([created, inProgress, ...text(0, 'Hel', 'lo 🌍'), completed(message('Hello 🌍'))]),
    );
    const identity = {
      id: 'chatcmpl-resp_1',
      object: 'chat.completion.chunk',
      created: 1_700_000_000,
      model: 'gpt-test-1',
    };
    const choice = (delta: object, finish_reason: string | null = null) => ({
      ...identity,
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    });
    expect(chunks).toEqual([
      choice({ role: 'assistant', content: '', refusal: null }),
      choice({ content: 'Hel' }),
      choice({ content: 'lo 🌍' }),
      choice({}, 'stop'),
    ]);
    const counts = {
      prompt_tokens: 9,
      completion_tokens: 4,
      total_tokens: 13,
      prompt_tokens_details: { cached_tokens: 5 },
      completion_tokens_details: { reasoning_tokens: 1 },
    };
    expect(usages).toEqual([{ ...identity, choices: [], usage: counts }]);
    expect(verdict).toEqual({ kind: 'completed', finishReason: 'stop', usage: counts });
  });

  it.each([
    ['without event names', (events: WireEvent[]) => wire(events).replaceAll(/^event: .*\n/gm, '')],
    ['with sequence numbers', (events: WireEvent[]) => wire(numbered(events))],
    ['with keep-alives', (events: WireEvent[]) => wire(events.flatMap((one) => [keepAlive, one]))],
    [
      'without output indices',
      (events: WireEvent[]) => wire(events).replaceAll(/"output_index":\d,/g, ''),
    ],
    [
      'with all items at one output index',
      (events: WireEvent[]) => wire(events).replaceAll(/"output_index":\d/g, '"output_index":0'),
    ],
    ['with a terminator of other APIs', (events: WireEvent[]) => `${wire(events)}data: [DONE]\n\n`],
    [
      'without pieces',
      (events: WireEvent[]) => wire(events.filter(({ type }) => !type.endsWith('.delta'))),
    ],
    [
      'with items as a whole only',
      (events: WireEvent[]) =>
        wire(events.filter(({ type }) => /created|completed|item.done/.test(type))),
    ],
    [
      'with its end only',
      (events: WireEvent[]) => wire(events.filter(({ type }) => /completed/.test(type))),
    ],
  ])('is the same %s', (_how, written) => {
    const events = [
      created,
      ...thoughts(0, ['Let me see.', 'And again.'], 'enc-0'),
      ...text(1, 'I ', 'look.'),
      ...call(2, 'weather', '{"city":', '"Brno"}'),
      ...call(3, 'time', '{}'),
    ];
    const output = events.flatMap(({ type, item }) =>
      type === 'response.output_item.done' ? [item as Record<string, unknown>] : [],
    );
    for (const size of [7, Infinity]) {
      const { answer } = read(written([...events, completed(...output)]), { size });
      expect(answer.choices[0]).toMatchObject({
        message: {
          content: 'I look.',
          reasoning_content: 'Let me see.\n\nAnd again.',
          reasoning_details: [encrypted('enc-0', 'rs_0', 0)],
          tool_calls: [
            {
              id: 'call_2',
              type: 'function',
              function: { name: 'weather', arguments: '{"city":"Brno"}' },
            },
            { id: 'call_3', type: 'function', function: { name: 'time', arguments: '{}' } },
          ],
        },
        finish_reason: 'tool_calls',
      });
      expect(answer.choices[0]?.message.tool_calls).toHaveLength(2);
    }
  });

  it('has its encrypted reasoning before calls, and where the client asks for it', () => {
    const events = [created, ...thoughts(0, ['hm'], 'enc'), ...text(1, 'Yes.'), completed()];
    expect(choiceOf(events).message['reasoning_details']).toBeUndefined();
    const asked = { include: ['reasoning.encrypted_content'] };
    const details = [encrypted('enc', 'rs_0', 0)];
    expect(choiceOf(events, asked).message['reasoning_details']).toEqual(details);
    const whole = JSON.stringify(
      response({ status: 'completed', output: [reasoning(0, ['hm'], 'enc'), message('Yes.')] }),
    );
    const { body } = readWhole(whole, { model: 'asked', body: JSON.stringify(asked) });
    expect(JSON.parse(body!)).toMatchObject({
      choices: [{ message: { content: 'Yes.', reasoning_details: details } }],
    });
  });

  it('shows raw reasoning, and not its summary as well', () => {
    const place = { item_id: 'rs_0', output_index: 0, content_index: 0 };
    const item = {
      ...reasoning(0, ['short']),
      content: [{ type: 'reasoning_text', text: 'let me' }],
    };
    const { message: said } = choiceOf([
      created,
      { type: 'response.reasoning_text.delta', ...place, delta: 'let ' },
      { type: 'response.reasoning_text.delta', ...place, delta: 'me' },
      { type: 'response.reasoning_text.done', ...place, text: 'let me' },
      done(0, item),
      completed(item),
    ]);
    expect(said['reasoning_content']).toBe('let me');
  });

  it('has refusals, calls of custom tools and log probabilities', () => {
    const place = { item_id: 'msg_0', output_index: 0, content_index: 0 };
    const logprob = { token: 'é', logprob: -0.5 };
    const custom = { type: 'custom_tool_call', id: 'ctc_1', call_id: 'call_1', name: 'run' };
    const choice = choiceOf([
      created,
      {
        type: 'response.output_text.delta',
        ...place,
        delta: 'é',
        logprobs: [{ ...logprob, top_logprobs: [logprob] }],
      },
      { type: 'response.refusal.delta', ...place, content_index: 1, delta: 'No' },
      { type: 'response.refusal.done', ...place, content_index: 1, refusal: 'No.' },
      added(1, { ...custom, input: '' }),
      { type: 'response.custom_tool_call_input.delta', output_index: 1, delta: 'ls' },
      { type: 'response.custom_tool_call_input.done', output_index: 1, input: 'ls -l' },
      done(1, { ...custom, input: 'ls -l' }),
      completed(),
    ]);
    const token = { ...logprob, bytes: [195, 169] };
    expect(choice).toMatchObject({
      message: {
        content: 'é',
        refusal: 'No.',
        tool_calls: [{ id: 'call_1', type: 'custom', custom: { name: 'run', input: 'ls -l' } }],
      },
      logprobs: { content: [{ ...token, top_logprobs: [token] }], refusal: null },
    });
  });

  it('skips what the provider does by itself, and keeps the pages that it cites, each once', () => {
    const citation = { type: 'url_citation', url: 'https://a.example', title: 'A' };
    const annotation = { ...citation, start_index: 0, end_index: 6 };
    const cited = {
      ...message('it is.', 2),
      content: [{ type: 'output_text', text: 'it is.', annotations: [annotation] }],
    };
    const place = { item_id: 'msg_2', output_index: 2, content_index: 0 };
    const { message: said, finish_reason: reason } = choiceOf([
      created,
      added(0, { type: 'web_search_call', id: 'ws_0', status: 'in_progress' }),
      { type: 'response.web_search_call.searching', output_index: 0, item_id: 'ws_0' },
      done(0, { type: 'web_search_call', id: 'ws_0', status: 'completed' }),
      ...text(1, 'So: '),
      { type: 'response.output_text.delta', ...place, delta: 'it is.' },
      { type: 'response.output_text.annotation.added', ...place, annotation },
      done(2, cited),
      completed(),
    ]);
    expect(said).toMatchObject({ content: 'So: it is.' });
    expect(said.tool_calls).toBeUndefined();
    expect(said['annotations']).toEqual([
      {
        type: 'url_citation',
        url_citation: { start_index: 4, end_index: 10, title: 'A', url: 'https://a.example' },
      },
    ]);
    expect(reason).toBe('stop');
  });

  it.each<[WireEvent, string]>([
    [completed(), 'stop'],
    [incomplete('max_output_tokens'), 'length'],
    [incomplete('content_filter'), 'content_filter'],
    [incomplete('something_new'), 'length'],
    [{ ...incomplete('max_output_tokens'), type: 'response.completed' }, 'length'],
  ])('ends with %j as %s', (end, finishReason) => {
    const { chunks, verdict } = read(wire([created, ...text(0, 'x'), end]));
    expect(chunks.at(-1)).toMatchObject({ choices: [{ finish_reason: finishReason }] });
    expect(verdict).toMatchObject({ kind: 'completed', finishReason });
    const whole = readWhole(JSON.stringify(end['response']), { model: 'asked', body: '{}' });
    expect(whole).toMatchObject({ kind: 'completed', finishReason });
  });
});

describe('a stream of the Responses API that breaks', () => {
  const start = [created, ...text(0, 'Hel').slice(0, 3)];

  it.each([
    [{ code: 'server_error', message: 'Oops.' }, 'upstream_server_error'],
    [{ code: 'rate_limit_exceeded', message: 'Slow down.' }, 'upstream_rate_limited'],
    [{ code: 'invalid_image_url', message: 'No image.' }, 'upstream_rejected'],
    [{ code: 'bio_policy', message: 'No.' }, 'content_filtered'],
    [{ code: 'invalid_encrypted_content', message: 'Whose is it?' }, 'target_unsuited'],
  ])('has the error %j in any of three forms', (error, code) => {
    const forms = [
      failed(error),
      { type: 'error', ...error, param: null, sequence_number: 5 },
      { type: 'error', error: { type: 'error', ...error } },
    ];
    for (const event of forms) {
      const { verdict, answer } = read(wire([...start, event]));
      expect(verdict).toMatchObject({
        kind: 'fault',
        fault: { code, error: { message: error.message } },
      });
      expect(verdict).not.toHaveProperty('fault.error.type', 'error');
      expect(answer.choices[0]?.message.content).toBe('Hel');
    }
    const body = JSON.stringify(failed(error)['response']);
    expect(readWhole(body, { model: 'asked', body: '{}' })).toMatchObject({ fault: { code } });
  });

  it('has failed, also without a reason', () => {
    const { verdict } = read(wire([...start, failed(null)]));
    expect(verdict).toMatchObject({ kind: 'fault', fault: { code: 'upstream_server_error' } });
  });

  it('is truncated without the end of the response, whatever else has ended', () => {
    const ends = [
      wire([created, ...text(0, 'Hel')]),
      `${wire([created, ...text(0, 'Hel')])}data: [DONE]\n\n`,
      wire([...start, { type: 'response.cancelled', response: response() }]),
      wire([...start, { ...created, response: response({ id: 'resp_2' }) }, completed()]),
    ];
    for (const body of ends) {
      const { verdict, answer } = read(body);
      expect(verdict).toMatchObject({ kind: 'fault', fault: { code: 'upstream_truncated' } });
      expect(answer.choices[0]?.message.content).toBe('Hel');
    }
  });

  it('begins anew before anything was shown', () => {
    const second = { ...created, response: response({ id: 'resp_2' }) };
    const { answer } = read(wire([created, second, ...text(0, 'Hello'), completed()]));
    expect(answer).toMatchObject({ id: 'chatcmpl-resp_1' });
    expect(answer.choices[0]?.message.content).toBe('Hello');
  });

  it.each([
    ['a delta that is no text', { type: 'response.output_text.delta', output_index: 0, delta: 5 }],
    ['an item that is none', { type: 'response.output_item.done', output_index: 1, item: null }],
    ['a call without a name', added(1, { ...functionCall(1, '', '') })],
    [
      'arguments of a call that never began',
      { type: 'response.function_call_arguments.delta', output_index: 7, delta: '{' },
    ],
    ['an end without its response', { type: 'response.completed' }],
  ])('ends behind the last event that can be read: %s', (_what, event) => {
    const { verdict } = read(wire([...start, event, completed()]));
    expect(verdict).toMatchObject({ fault: { code: 'upstream_invalid_response' } });
  });

  it('drops events that cannot have a part of the answer', () => {
    const junk = [
      'event: keepalive\ndata: {"type":"keepa\n\n',
      'data: {"type":"keepalive","sequence_n\n\n',
      'data: {"type":"response.something_new","x":1}\n\n',
      'data: {"type":"response.output_text.delta","output_index":0,"delta":null}\n\n',
    ].join('');
    const events = [created, ...text(0, 'Hel', 'lo'), completed()];
    const { answer, verdict } = read(events.map((event) => junk + wire([event])).join(''));
    expect(answer.choices[0]?.message.content).toBe('Hello');
    expect(verdict).toMatchObject({ kind: 'completed' });
  });
});

it.each(['in_progress', 'queued', 'cancelled'])('a response that is %s is no answer', (status) => {
  const body = JSON.stringify(response({ status, output: [message('Hello')] }));
  expect(readWhole(body, { model: 'asked', body: '{}' })).toMatchObject({
    fault: { code: 'upstream_invalid_response' },
  });
});

it('a whole response is the same as a stream of it, and nothing in either throws', () => {
  const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 });
  const item = fc.oneof(
    fc.array(word, { minLength: 1, maxLength: 3 }).map((pieces) => ({ kind: 'text', pieces })),
    fc.array(word, { minLength: 1, maxLength: 3 }).map((pieces) => ({ kind: 'call', pieces })),
    fc.array(word, { minLength: 1, maxLength: 2 }).map((pieces) => ({ kind: 'thoughts', pieces })),
  );
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 4 }),
      fc.integer({ min: 1, max: 40 }),
      (items, size) => {
        const events = items.flatMap(({ kind, pieces }, n) =>
          kind === 'text'
            ? text(n, ...pieces)
            : kind === 'call'
              ? call(n, 'f', JSON.stringify(pieces).slice(0, 3), JSON.stringify(pieces).slice(3))
              : thoughts(n, pieces, `enc-${n}`),
        );
        const output = events.flatMap(({ type, item: one }) =>
          type === 'response.output_item.done' ? [one as Record<string, unknown>] : [],
        );
        const whole = response({ status: 'completed', output, usage });
        const streamed = read(wire([created, ...events, completed(...output)]), { size });
        const { body } = readWhole(JSON.stringify(whole), { model: 'asked', body: '{}' });
        const told = JSON.parse(body!) as ChatCompletion;
        const said = streamed.answer.choices[0]!;
        expect({
          ...said,
          message: { ...said.message, content: said.message.content || null },
        }).toEqual(told.choices[0]);
      },
    ),
    { numRuns: 100 },
  );
});
