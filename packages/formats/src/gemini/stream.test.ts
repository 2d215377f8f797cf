import { describe, expect, it } from 'vitest';
import { ended, response, said, signature, usageMetadata } from './events.fixture.ts';
import { answerOf, messageOf, read } from './stream.fixture.ts';

const google = (extra: Record<string, unknown>) => ({ extra_content: { google: extra } });
const called = (functionCall: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  functionCall,
  ...more,
});

describe('a stream of Gemini', () => {
  it('is a chat completion with the identity of the answer', () => {
    const result = read([said('Hel'), said('lo 🌍'), ended()]);
    expect(answerOf(result)).toMatchObject({
      id: 'chatcmpl-abc123',
      model: 'gemini-test-1',
      choices: [{ message: { role: 'assistant', content: 'Hello 🌍' }, finish_reason: 'stop' }],
    });
    expect(result.chunks[0]?.choices[0]?.delta).toEqual({
      role: 'assistant',
      content: '',
      refusal: null,
    });
    expect(result.verdict).toMatchObject({ kind: 'completed', finishReason: 'stop' });
  });

  it('reports its usage in each event, in OpenAI’s terms', () => {
    const { usages, verdict } = read([said('Hi'), ended()]);
    expect(usages.map(({ usage }) => usage['completion_tokens'])).toEqual([0, 12]);
    const usage = {
      prompt_tokens: 30,
      completion_tokens: 12,
      total_tokens: 42,
      prompt_tokens_details: { cached_tokens: 12 },
      completion_tokens_details: { reasoning_tokens: 5 },
    };
    expect(verdict).toEqual({ kind: 'completed', finishReason: 'stop', usage });
    const audio = [{ modality: 'AUDIO', tokenCount: 3 }];
    const heard = { ...usageMetadata, promptTokensDetails: audio, toolUsePromptTokenCount: 4 };
    expect(read([ended('STOP'), { usageMetadata: heard }]).verdict).toMatchObject({
      usage: { prompt_tokens: 34, prompt_tokens_details: { audio_tokens: 3 } },
    });
  });

  it('is complete without a usage behind its end, which may then be missing', () => {
    const end = response([{ text: 'Hi' }], { finishReason: 'STOP' }, { usageMetadata: undefined });
    expect(read([end]).verdict).toEqual({ kind: 'completed', finishReason: 'stop', isCut: true });
  });

  it('has thoughts, and keeps the last signature of a text for the next turn', () => {
    const result = read([
      response([{ text: 'Hm.', thought: true }]),
      response([{ text: 'Four', thoughtSignature: 'b2xk' }]),
      response([{ text: '.' }]),
      response([{ text: '', thoughtSignature: signature }]),
      ended(),
    ]);
    expect(messageOf(result)).toMatchObject({
      content: 'Four.',
      reasoning_content: 'Hm.',
      ...google({ thought_signature: signature }),
    });
  });

  it('has calls with whole arguments, ids and signatures, and ends because of them', () => {
    const result = read(
      `data: ${JSON.stringify(
        response([
          { text: 'I look.' },
          called({ name: 'f', args: { id: 'BIG' }, id: 'own' }, { thoughtSignature: signature }),
          called({ name: 'g' }),
        ]),
      ).replace('"BIG"', '12345678901234567890')}\n\ndata: ${JSON.stringify(ended())}\n\n`,
    );
    const [first, second] = messageOf(result).tool_calls as Record<string, unknown>[];
    expect(first).toEqual({
      id: 'own',
      type: 'function',
      function: { name: 'f', arguments: '{"id":12345678901234567890}' },
      ...google({ thought_signature: signature }),
    });
    expect(second).toEqual({
      id: expect.stringMatching(/^call_/) as unknown,
      type: 'function',
      function: { name: 'g', arguments: '{}' },
    });
    expect(messageOf(result)).not.toHaveProperty('extra_content');
    expect(result.verdict).toMatchObject({ finishReason: 'tool_calls' });
  });

  it('has images and no other media', () => {
    const image = { inlineData: { mimeType: 'image/png', data: 'aGk=' } };
    const audio = { inlineData: { mimeType: 'audio/wav', data: 'aGk=' } };
    const code = { executableCode: { language: 'PYTHON', code: '1+1' } };
    expect(messageOf(read([response([code, audio, image]), ended()]))).toMatchObject({
      content: '',
      images: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } }],
    });
  });

  it('has several choices, each with its own calls and end', () => {
    const of = (index: number, parts: Record<string, unknown>[], more = {}) => ({
      content: { parts },
      index,
      ...more,
    });
    const both = [
      { candidates: [of(0, [{ text: 'a' }]), of(1, [called({ name: 'f' })])] },
      { candidates: [of(1, [], { finishReason: 'STOP' })], usageMetadata },
    ];
    const call = { body: '{"n":2}' };
    expect(read(both, call).verdict).toMatchObject({ fault: { code: 'upstream_truncated' } });
    const last = { candidates: [of(0, [{ text: 'b' }], { finishReason: 'MAX_TOKENS' })] };
    const result = read([...both, { ...last, usageMetadata }], call);
    expect(answerOf(result).choices).toMatchObject([
      { index: 0, message: { content: 'ab' }, finish_reason: 'length' },
      { index: 1, message: { tool_calls: [{}] }, finish_reason: 'tool_calls' },
    ]);
    expect(result.verdict).toMatchObject({ kind: 'completed', finishReason: 'length' });
  });

  it('has log probabilities with the text that they belong to', () => {
    const token = { token: 'é', tokenId: 5, logProbability: -0.25 };
    const logprobsResult = {
      chosenCandidates: [token],
      topCandidates: [{ candidates: [token, { token: 'x', logProbability: -3 }] }],
    };
    const result = read([response([{ text: 'é' }], { logprobsResult }), ended()]);
    const shown = { token: 'é', logprob: -0.25, bytes: [195, 169] };
    expect(answerOf(result).choices[0]?.logprobs).toMatchObject({
      content: [{ ...shown, top_logprobs: [shown, { token: 'x', logprob: -3, bytes: [120] }] }],
    });
  });

  it('keeps the sources that Google adds', () => {
    const groundingMetadata = { webSearchQueries: ['x'] };
    const result = read([said('x'), ended('STOP', { groundingMetadata })]);
    expect(messageOf(result)).toMatchObject(google({ grounding_metadata: groundingMetadata }));
  });

  it('keeps the identity of the answer that it continues', () => {
    const identity = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'seen' };
    expect(answerOf(read([said('x'), ended()], { identity }))).toMatchObject(identity);
  });

  it.each([
    ['MAX_TOKENS', 'length', undefined],
    ['CONTINUATION', 'length', 'CONTINUATION'],
    ['SAFETY', 'content_filter', 'SAFETY'],
    ['RECITATION', 'content_filter', 'RECITATION'],
    ['LANGUAGE', 'stop', 'LANGUAGE'],
    ['A_NEW_REASON', 'stop', 'A_NEW_REASON'],
  ])('that ends with %s has the finish_reason %s', (reason, finish, native) => {
    const result = read([said('x'), ended(reason, { finishMessage: 'Why.' })]);
    const [choice] = answerOf(result).choices;
    expect(choice).toMatchObject({
      finish_reason: finish,
      message: { refusal: finish === 'content_filter' ? 'Why.' : null },
    });
    expect(choice?.['native_finish_reason']).toBe(native);
  });
});

describe('a stream of Gemini that breaks', () => {
  const unavailable = {
    error: { code: 503, message: 'The model is overloaded.', status: 'UNAVAILABLE' },
  };

  it.each([
    ['at once', []],
    ['in the middle', [said('Hel')]],
  ])('has the error that came %s', (_when, before) => {
    expect(read([...before, unavailable]).verdict).toEqual({
      kind: 'fault',
      fault: {
        code: 'upstream_overloaded',
        message: 'The model is overloaded.',
        httpStatus: 503,
        error: {
          message: 'The model is overloaded.',
          type: 'upstream_error',
          param: null,
          code: 'overloaded',
        },
      },
    });
  });

  it.each([
    ['MALFORMED_FUNCTION_CALL', 'upstream_unusable_output'],
    ['UNEXPECTED_TOOL_CALL', 'upstream_unusable_output'],
    ['MISSING_THOUGHT_SIGNATURE', 'target_unsuited'],
    ['PUP_LIMITED_DISABLED', 'upstream_auth_failed'],
  ])('because of %s is a fault: %s', (reason, code) => {
    const { verdict } = read([said('x'), ended(reason, { finishMessage: 'Why.' })]);
    expect(verdict).toMatchObject({ fault: { code, message: expect.stringMatching(/Why\.$/) } });
  });

  it('because its prompt was blocked is an error of the client', () => {
    const blocked = { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' }, usageMetadata };
    expect(read([blocked]).verdict).toMatchObject({
      fault: { code: 'content_filtered', httpStatus: 400, error: { code: 'content_filter' } },
    });
    const rated = { promptFeedback: { safetyRatings: [] } };
    expect(read([rated, said('x'), ended()]).verdict.kind).toBe('completed');
  });

  it.each([
    ['no list of candidates', { candidates: {} }],
    ['no candidate', { candidates: [7] }],
    ['no content', { candidates: [{ content: 'x' }] }],
    ['no list of parts', { candidates: [{ content: { parts: 'x' } }] }],
    ['no part', { candidates: [{ content: { parts: ['x'] } }] }],
    ['no text', { candidates: [{ content: { parts: [{ text: 5 }] } }] }],
    ['no name of a call', { candidates: [{ content: { parts: [{ functionCall: {} }] } }] }],
    ['no call', { candidates: [{ content: { parts: [{ functionCall: 'f' }] } }] }],
  ])('with %s cannot be read', (_what, event) => {
    expect(read([said('x'), event, ended()]).verdict).toMatchObject({
      fault: { code: 'upstream_invalid_response' },
    });
    expect(read([said('x'), ended(), event]).verdict.kind).toBe('completed');
  });

  it('in the middle is truncated, whatever its usage says', () => {
    const { verdict, usages } = read([said('x'), { usageMetadata }]);
    expect(verdict).toMatchObject({ fault: { code: 'upstream_truncated' } });
    expect(usages.at(-1)).toMatchObject({ usage: { completion_tokens: 12 } });
  });
});
