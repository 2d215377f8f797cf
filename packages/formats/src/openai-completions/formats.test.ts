import { describe, expect, it } from 'vitest';
import type { ProviderCall } from '../port.ts';
import { openAiCompletionsClient } from './client/format.ts';
import { openAiCompletions } from './provider.ts';

const answer = { id: 'req_0_1', model: 'alias', createdAt: 0, echo: undefined };
const head = { id: 'chatcmpl-a', object: 'chat.completion.chunk', created: 1, model: 'm' };
const chunk = (delta: object, finish: string | null = null, more: object = {}) => ({
  ...head,
  choices: [{ index: 0, delta, logprobs: null, finish_reason: finish, ...more }],
});

function encode(chunks: readonly object[]) {
  const encoder = openAiCompletionsClient.encodeStream(answer);
  return chunks
    .flatMap((one) => encoder.chunk(JSON.stringify(one)))
    .map(({ data }) => JSON.parse(data) as object);
}
const shown = (text: string, finish: string | null = null, more: object = {}) => ({
  ...head,
  id: 'cmpl-a',
  object: 'text_completion',
  choices: [{ text, index: 0, logprobs: null, finish_reason: finish, ...more }],
});

describe('a streamed completion', () => {
  it('has its texts, whatever they contain, and its end', () => {
    const texts = ['On', 'ce ', '"upon"\n', 'é \uE000', 'a\\', '', ' time'];
    const chunks = [
      chunk({ role: 'assistant', content: '' }),
      chunk({ reasoning_content: 'Hm.' }),
      ...texts.map((content) => chunk({ content })),
      chunk({ refusal: ' No.' }),
      chunk({}, 'length', { stop_reason: 5 }),
    ];
    expect(encode(chunks)).toEqual([
      ...texts.map((text) => shown(text)),
      shown(' No.'),
      shown('', 'length', { stop_reason: 5 }),
    ]);
  });

  it('has logprobs in the old form, whose offsets count from the start of the answer', () => {
    const top = [
      { token: 'b', logprob: -1 },
      { token: 'c', logprob: -2 },
    ];
    const logprobs = { content: [{ token: 'b', logprob: -1, bytes: [], top_logprobs: top }] };
    const own = { tokens: ['d'], token_logprobs: [-1], top_logprobs: null, text_offset: [9] };
    expect(
      encode([
        chunk({ content: 'aa' }),
        chunk({ content: 'aa' }),
        chunk({ content: 'b' }, null, { logprobs }),
        // Of a provider with a Completions API.
        chunk({ content: 'd' }, null, { logprobs: own }),
      ]).slice(2),
    ).toEqual([
      shown('b', null, {
        logprobs: {
          tokens: ['b'],
          token_logprobs: [-1],
          top_logprobs: [{ b: -1, c: -2 }],
          text_offset: [4],
        },
      }),
      shown('d', null, { logprobs: own }),
    ]);
  });
});

const call: ProviderCall = {
  body: '{"model":"alias","messages":[],"stream_options":{"include_usage":true},"max_tokens":40}',
  native: { body: '{"model":"alias","prompt":["Once"],"max_tokens":50, "top_k":1}', turns: [] },
  stream: true,
  model: 'm',
  baseUrl: 'https://api.example.com/v1',
  apiKey: 'k',
  traceparent: undefined,
  prefill: false,
  identity: undefined,
};
const native = (turns: NonNullable<ProviderCall['native']>['turns']) => ({
  ...call,
  native: { body: call.native?.body ?? '', turns },
});
const begun = { role: 'assistant', content: ' upon a' } as const;

describe('a request to a Completions API', () => {
  const bodyOf = (of: ProviderCall) => {
    const request = openAiCompletions.request(of);
    return 'code' in request ? request.code : (JSON.parse(request.body) as object);
  };

  it('is the client’s, with the model of the target and its usage', () => {
    expect(openAiCompletions.request(call)).toMatchObject({
      path: '/v1/completions',
      headers: { authorization: 'Bearer k' },
      body: '{"model":"m","prompt":["Once"],"max_tokens":50, "top_k":1,"stream_options":{"include_usage":true}}',
    });
  });

  it('continues its prompt with what was delivered, within what is left of the limit', () => {
    expect(bodyOf(native([begun]))).toMatchObject({ prompt: 'Once upon a', max_tokens: 40 });
    expect(bodyOf(native([begun, { role: 'user', content: 'Go on.' }]))).toBe('target_unsuited');
  });
});

describe('an answer of a Completions API', () => {
  const text = (choice: object) => ({
    id: 'cmpl-1',
    object: 'text_completion',
    created: 1,
    model: 'm',
    choices: [choice],
  });

  function readStream(events: readonly (object | string)[]) {
    const chunks: unknown[] = [];
    const reader = openAiCompletions.readStream(call, {
      plain: (line) => chunks.push(JSON.parse(line)),
      chunk: (line) => chunks.push(JSON.parse(line)),
      usage: (line) => chunks.push(JSON.parse(line)),
    });
    const lines = events.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
    reader.push(Buffer.from(lines.map((line) => `data: ${line}\n\n`).join('')));
    return { chunks, verdict: reader.end() };
  }

  it('is read as one of a chat, and back', () => {
    const events = [
      text({ index: 0, text: 'On', logprobs: null, finish_reason: null }),
      text({ index: 0, text: 'ce', logprobs: { tokens: ['ce'] }, finish_reason: null }),
      text({ index: 0, text: '', logprobs: null, finish_reason: 'stop', stop_reason: null }),
    ];
    const usage = { ...text({}), choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } };
    const { chunks, verdict } = readStream([...events, usage, '[DONE]']);
    expect(verdict).toMatchObject({
      kind: 'completed',
      finishReason: 'stop',
      usage: { completion_tokens: 2 },
    });
    expect(chunks[0]).toMatchObject({ choices: [{ delta: { content: 'On' } }] });
    expect(encode(chunks.slice(0, 3) as object[])).toMatchObject(events);
  });

  it.each([
    [[text({ index: 0, text: 7, finish_reason: null })], 'upstream_invalid_response'],
    [[text({ index: 0, text: 'On', finish_reason: null })], 'upstream_truncated'],
    [[{ error: { message: 'no', type: 'server_error' } }], 'upstream_server_error'],
  ])('is a fault if it is damaged, cut off, or an error: %j', (events, code) => {
    expect(readStream(events).verdict).toMatchObject({ kind: 'fault', fault: { code } });
  });

  it('a whole one is read in the same way', () => {
    const whole = text({ index: 0, text: 'Once', logprobs: null, finish_reason: 'stop' });
    const read = openAiCompletions.readWhole(JSON.stringify(whole), call) as { body?: string };
    expect(read).toMatchObject({ kind: 'completed', finishReason: 'stop' });
    expect(JSON.parse(read.body ?? '')).toMatchObject({
      choices: [{ message: { role: 'assistant', content: 'Once' } }],
    });
    expect(JSON.parse(openAiCompletionsClient.encodeWhole(read.body ?? '', answer))).toEqual(whole);
    for (const odd of ['', '[]', '{}', '{"choices":[]}', '{"choices":[null]}']) {
      expect(openAiCompletions.readWhole(odd, call)).toMatchObject({ kind: 'fault' });
    }
  });
});
