import { describe, expect, it } from 'vitest';
import { ended, response, said, signature, usageMetadata } from './events.fixture.ts';
import { readWhole } from './whole.ts';

const call = { model: 'gemini-asked', body: '{}' };
const read = (value: unknown, body = '{}') =>
  readWhole(JSON.stringify(value), { ...call, body }, () => 1_700_000_000_999);
const bodyOf = (verdict: ReturnType<typeof read>) => JSON.parse(verdict.body ?? 'null') as unknown;

describe('a whole answer of Gemini', () => {
  it('is a chat completion', () => {
    const parts = [
      { text: 'Hm.', thought: true },
      { text: 'I look.' },
      { functionCall: { name: 'f', args: { a: 1 }, id: 'own' }, thoughtSignature: signature },
    ];
    const verdict = read(response(parts, { finishReason: 'STOP' }, { usageMetadata }));
    expect(verdict).toMatchObject({ kind: 'completed', finishReason: 'tool_calls' });
    expect(bodyOf(verdict)).toEqual({
      id: 'chatcmpl-abc123',
      object: 'chat.completion',
      created: 1_700_000_000,
      model: 'gemini-test-1',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'I look.',
            refusal: null,
            reasoning_content: 'Hm.',
            tool_calls: [
              {
                id: 'own',
                type: 'function',
                function: { name: 'f', arguments: '{"a":1}' },
                extra_content: { google: { thought_signature: signature } },
              },
            ],
          },
          logprobs: null,
          finish_reason: 'tool_calls',
        },
      ],
      usage: {
        prompt_tokens: 30,
        completion_tokens: 12,
        total_tokens: 42,
        prompt_tokens_details: { cached_tokens: 12 },
        completion_tokens_details: { reasoning_tokens: 5 },
      },
    });
  });

  it('may be an array of the responses of a stream', () => {
    expect(bodyOf(read([said('a'), said('b'), ended()]))).toMatchObject({
      choices: [{ message: { content: 'ab' } }],
      usage: { total_tokens: 42 },
    });
    const error = { error: { code: 404, message: 'models/m is not found', status: 'NOT_FOUND' } };
    expect(read([error])).toMatchObject({ fault: { code: 'upstream_model_not_found' } });
  });

  it('without its end, or with fewer choices than asked for, is none', () => {
    for (const verdict of [read(said('a')), read([said('a'), ended()], '{"n":2}')]) {
      expect(verdict).toMatchObject({ fault: { code: 'upstream_invalid_response' } });
    }
  });

  it('of a blocked prompt is an error of the client', () => {
    const promptFeedback = { blockReason: 'SAFETY', blockReasonMessage: 'No.' };
    expect(read({ promptFeedback })).toMatchObject({
      fault: { code: 'content_filtered', message: 'No.' },
    });
  });
});
