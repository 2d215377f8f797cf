import { describe, expect, it } from 'vitest';
import { ended, response, said, signature } from '../events.fixture.ts';
import { read } from '../stream.fixture.ts';
import { encodeStream } from './stream-encoder.ts';

const answer = { id: 'req_0_1', model: 'alias', createdAt: 0, echo: undefined };

/** The events for the chunks of an answer, and the last usage. */
function encode(chunks: readonly unknown[], usage?: unknown) {
  const encoder = encodeStream(answer);
  const events = chunks.flatMap((chunk) => encoder.chunk(JSON.stringify(chunk)));
  if (usage !== undefined) events.push(...encoder.usage(JSON.stringify(usage)));
  events.push(...encoder.end());
  return events.map(({ data }) => JSON.parse(data) as Record<string, unknown>);
}

const chunk = (delta: object, finish: string | null = null) => ({
  id: 'chatcmpl-a',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
});
const identity = { modelVersion: 'm', responseId: 'a' };
const candidate = (parts: object[], more: object = {}) => ({
  candidates: [{ content: { parts, role: 'model' }, index: 0, ...more }],
  ...identity,
});

describe('a streamed answer for a Gemini client', () => {
  it('has its text as it comes, and its end with the usage', () => {
    const usage = {
      prompt_tokens: 9,
      completion_tokens: 5,
      prompt_tokens_details: { cached_tokens: 4 },
      completion_tokens_details: { reasoning_tokens: 2 },
    };
    const deltas = [{ role: 'assistant' }, { content: 'a "b"' }, { content: 'é\n' }].map((delta) =>
      chunk(delta),
    );
    expect(encode([...deltas, chunk({}, 'length')], { choices: [], usage })).toEqual([
      candidate([{ text: 'a "b"' }]),
      candidate([{ text: 'é\n' }]),
      {
        ...candidate([{ text: '' }], { finishReason: 'MAX_TOKENS' }),
        usageMetadata: {
          promptTokenCount: 9,
          candidatesTokenCount: 3,
          totalTokenCount: 14,
          cachedContentTokenCount: 4,
          thoughtsTokenCount: 2,
        },
      },
    ]);
  });

  it('has calls whole, with the signature that came with them', () => {
    const google = { google: { thought_signature: signature } };
    const call = (index: number, called: object, more: object = {}) =>
      chunk({ tool_calls: [{ index, ...more, function: called }] });
    const events = encode([
      call(0, { name: 'f', arguments: '' }, { id: 'c0', extra_content: google }),
      call(0, { arguments: '{"a":' }),
      call(1, { name: 'g', arguments: '{' }, { id: 'c1' }),
      call(0, { arguments: '1}' }),
      chunk({}, 'tool_calls'),
    ]);
    expect(events).toEqual([
      candidate(
        [
          { functionCall: { id: 'c0', name: 'f', args: { a: 1 } }, thoughtSignature: signature },
          { functionCall: { id: 'c1', name: 'g', args: { invalid_arguments: '{' } } },
        ],
        { finishReason: 'STOP' },
      ),
    ]);
  });

  it('is what a Gemini provider sent, if both use this format', () => {
    const call = { functionCall: { name: 'f', args: {} }, thoughtSignature: signature, future: 1 };
    const events = [
      said('Hi.'),
      response([{ text: 'Hm.', thought: true }]),
      response([{ text: 'I look.' }, call], { safetyRatings: [{}] }),
      { usageMetadata: { promptTokenCount: 30, future: {} } },
      ended('STOP'),
    ];
    const native = { body: '{}', turns: [] };
    const { chunks } = read(events, { native });
    // Of an event with text alone the usage so far is not passed on.
    const { usageMetadata: _usage, ...first } = said('Hi.');
    expect(encode(chunks)).toEqual([first, ...events.slice(1)]);
  });

  it('has all tokens of a provider that counts reasoning beside the completion', () => {
    const usage = {
      prompt_tokens: 10,
      completion_tokens: 50,
      total_tokens: 100,
      completion_tokens_details: { reasoning_tokens: 40 },
    };
    const end = encode([chunk({ content: 'a' }, 'stop')], { choices: [], usage }).at(-1);
    expect(end?.['usageMetadata']).toEqual({
      promptTokenCount: 10,
      candidatesTokenCount: 50,
      totalTokenCount: 100,
      thoughtsTokenCount: 40,
    });
  });

  it('has thoughts if the client asks for them', () => {
    const delta = { reasoning_content: 'Hm.', content: 'Yes.' };
    const partsFor = (echo: unknown) => {
      const encoder = encodeStream({ ...answer, echo });
      const [event] = encoder.chunk(JSON.stringify(chunk(delta)));
      const { candidates } = JSON.parse(event?.data ?? '{}') as {
        candidates: { content: { parts: object[] } }[];
      };
      return candidates[0]?.content.parts;
    };
    expect(partsFor(undefined)).toEqual([{ text: 'Yes.' }]);
    expect(partsFor({ thoughts: true })).toEqual([
      { text: 'Hm.', thought: true },
      { text: 'Yes.' },
    ]);
  });

  it('has events as keep-alives, with the identity of the answer once it is known', () => {
    const encoder = encodeStream(answer);
    const read = () => JSON.parse(encoder.keepAlive?.()?.data ?? '') as object;
    const empty = candidate([{ text: '' }]);
    expect(read()).toEqual({ candidates: empty.candidates });
    encoder.chunk(JSON.stringify(chunk({ role: 'assistant' })));
    expect(read()).toEqual(empty);
  });

  it('keeps a native reason of the end, and ends with an error in Google’s form', () => {
    const end = chunk({}, 'content_filter');
    const [choice] = end.choices;
    const recitation = { ...end, choices: [{ ...choice, native_finish_reason: 'RECITATION' }] };
    expect(encode([end])).toMatchObject([{ candidates: [{ finishReason: 'SAFETY' }] }]);
    expect(encode([recitation])).toMatchObject([{ candidates: [{ finishReason: 'RECITATION' }] }]);
    const error = { message: 'No.', type: 'x', param: null, code: 'overloaded', request_id: 'r' };
    const [event] = encodeStream(answer).error(error, 503);
    expect(JSON.parse(event?.data ?? '')).toMatchObject({
      error: {
        code: 503,
        status: 'UNAVAILABLE',
        message: 'No.',
        details: [{ reason: 'OVERLOADED' }],
      },
    });
  });
});
