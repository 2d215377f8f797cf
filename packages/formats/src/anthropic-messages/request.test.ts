import type { MessageCreateParams } from '@anthropic-ai/sdk/resources/messages';
import type { ChatCompletionCreateParamsStreaming } from 'openai/resources/chat/completions';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { droppedFields, refusedFields } from './fields.ts';
import { refusal, translate, user } from './request.fixture.ts';
import { defaultMaxTokens } from './request.ts';

describe('a request to Anthropic', () => {
  it('has what every one needs, and no member of OpenAI', () => {
    expect(translate({ stream_options: { include_usage: true } })).toEqual({
      model: 'claude-sonnet-4-5',
      max_tokens: defaultMaxTokens,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi.' }] }],
    });
    expect(translate({ stream: false }, { stream: true }).stream).toBe(true);
  });

  it('knows each member that OpenAI has', () => {
    type Field = keyof ChatCompletionCreateParamsStreaming;
    type Sorted = keyof typeof droppedFields;
    const translated: Record<Exclude<Field, Sorted>, 'translated' | 'refused'> = {
      messages: 'translated',
      model: 'translated',
      max_completion_tokens: 'translated',
      max_tokens: 'translated',
      parallel_tool_calls: 'translated',
      reasoning_effort: 'translated',
      response_format: 'translated',
      safety_identifier: 'translated',
      service_tier: 'translated',
      stop: 'translated',
      stream: 'translated',
      temperature: 'translated',
      tool_choice: 'translated',
      tools: 'translated',
      top_p: 'translated',
      user: 'translated',
      audio: 'refused',
      function_call: 'refused',
      functions: 'refused',
      logit_bias: 'refused',
      logprobs: 'refused',
      modalities: 'refused',
      moderation: 'refused',
      n: 'refused',
      top_logprobs: 'refused',
      web_search_options: 'refused',
    };
    const refused = Object.entries(translated).filter(([, how]) => how === 'refused');
    expect(refused.map(([name]) => name).toSorted()).toEqual(Object.keys(refusedFields).toSorted());
  });

  it('drops hints and members that Anthropic does not know', () => {
    const hints = Object.fromEntries(Object.keys(droppedFields).map((name) => [name, 0.5]));
    expect(translate({ ...hints, whatever: true })).toEqual(translate({}));
  });

  it.each([
    ['n', 2],
    ['logprobs', true],
    ['top_logprobs', 3],
    ['logit_bias', { 50256: -100 }],
    ['audio', { voice: 'x' }],
    ['modalities', ['text', 'audio']],
    ['web_search_options', {}],
    ['functions', [{ name: 'f' }]],
    ['function_call', 'auto'],
  ])('is refused for %s = %j', (name, value) => {
    expect(refusal({ [name]: value })).toEqual([name, 'unsupported_parameter']);
  });

  it.each([
    ['n', 1],
    ['logprobs', false],
    ['top_logprobs', 0],
    ['logit_bias', {}],
    ['modalities', ['text']],
    ['functions', []],
    ['audio', null],
    ['response_format', { type: 'text' }],
    ['stop', null],
    ['tools', null],
    ['reasoning_effort', null],
  ])('is not refused for %s = %j, which asks for nothing', (name, value) => {
    expect(translate({ [name]: value })).toEqual(translate({}));
  });

  it.each([
    ['messages', { messages: 'Hi.' }],
    ['messages', { messages: [] }],
    ['messages[0]', { messages: ['Hi.'] }],
    ['messages[0].content', { messages: [{ role: 'user', content: 5 }] }],
    ['tools', { tools: {} }],
    ['stop', { stop: [5] }],
  ])('names %s where it is of the wrong shape', (param, request) => {
    expect(refusal(request)).toEqual([param, 'invalid_value']);
  });
});

describe('the numbers of a request to Anthropic', () => {
  it.each([
    [{ max_tokens: 5 }, 'claude-sonnet-4-5', 5],
    [{ max_tokens: 5, max_completion_tokens: 6 }, 'claude-sonnet-4-5', 6],
    [{ max_tokens: 100_000 }, 'claude-sonnet-4-5', 64_000],
    [{ max_tokens: 100_000 }, 'other-model', 100_000],
    [{}, 'claude-3-haiku-20240307', 4096],
  ])('%j on %s is max_tokens %i', (request, model, maxTokens) => {
    expect(translate(request, { model }).max_tokens).toBe(maxTokens);
  });

  it.each([
    [{ temperature: 1.7 }, 'claude-sonnet-4-5', { temperature: 1 }],
    [{ temperature: 0 }, 'claude-opus-4-6', { temperature: 0 }],
    [{ temperature: 0.5, top_p: 0.9 }, 'claude-sonnet-4-5', { temperature: 0.5 }],
    [{ temperature: 0.5, top_p: 0.9 }, 'claude-3-haiku-20240307', { temperature: 0.5, top_p: 0.9 }],
    [{ top_p: 0.9, top_k: 5 }, 'claude-sonnet-4-5', { top_p: 0.9, top_k: 5 }],
    [{ temperature: 0.5, top_p: 0.9, top_k: 5 }, 'claude-opus-4-7', {}],
    [{ temperature: 0, top_p: 0.5, reasoning_effort: 'low' }, 'claude-sonnet-4-5', {}],
    [{ top_p: 0.97, reasoning_effort: 'low' }, 'claude-sonnet-4-5', { top_p: 0.97 }],
  ])('%j on %s samples with %j', (request, model, sampling) => {
    const { temperature, top_p, top_k } = translate(request, { model }) as MessageCreateParams & {
      [name: string]: unknown;
    };
    expect({ temperature, top_p, top_k }).toEqual(sampling);
  });

  it.each([
    ['END', ['END']],
    [
      ['a', ' ', '\n\n', 'b'],
      ['a', 'b'],
    ],
    ['\n', undefined],
  ])('stops at %j as %j', (stop, sequences) => {
    expect(translate({ stop }).stop_sequences).toEqual(sequences);
  });

  it.each([
    [{ user: 'u-1' }, { user_id: 'u-1' }],
    [{ safety_identifier: 's-1' }, { user_id: 's-1' }],
    [{ user: 'u'.repeat(257) }, { user_id: expect.stringMatching(/^[0-9a-f]{64}$/) as string }],
    [{ user: '' }, undefined],
  ])('%j is metadata %j', (request, metadata) => {
    expect(translate(request).metadata).toEqual(metadata);
  });
});

describe('response_format', () => {
  const schema = { type: 'object', properties: { a: { type: 'number', minimum: 1 } } };
  const asked = (more: Record<string, unknown> = {}) => ({
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema, ...more } },
  });

  it('is a format of the output, beside the effort', () => {
    const model = 'claude-opus-5';
    expect(translate({ ...asked(), reasoning_effort: 'low' }, { model }).output_config).toEqual({
      effort: 'low',
      format: {
        type: 'json_schema',
        schema: {
          type: 'object',
          properties: { a: { type: 'number', description: '(minimum: 1)' } },
          additionalProperties: false,
        },
      },
    });
  });

  it('is refused where neither the API nor the model has it', () => {
    expect(refusal({ response_format: { type: 'json_object' } })[0]).toBe('response_format.type');
    expect(refusal(asked(), 'claude-3-haiku-20240307')[0]).toBe('response_format');
    expect(refusal(asked({ schema: { type: 'object' } }))[0]).toBe(
      'response_format.json_schema.schema',
    );
  });
});

it('translates or refuses whatever the request is, and always as a refusal', () => {
  const names =
    'messages tools tool_choice stop response_format reasoning_effort user thinking output_config max_tokens temperature service_tier cache_control';
  const vocabulary =
    'role content type text function name arguments tool_calls id user assistant tool system tool_call_id image_url url file file_data data:application/pdf;base64, json_schema schema properties items anyOf parameters strict required thinking_blocks allowed_tools tools __proto__';
  const words = fc.constantFrom(...vocabulary.split(' '));
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 6, depthSize: 'medium' },
      fc.oneof(words, fc.integer(), fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(words, tie('value'), { maxKeys: 6 }),
    ),
  }));
  const request = fc.dictionary(fc.constantFrom(...names.split(' ')), value);
  const model = fc.constantFrom('claude-sonnet-4-5', 'claude-opus-5-5', 'other');
  fc.assert(
    fc.property(request, model, (members, name) => {
      const messages = members['messages'] ?? [user];
      expect(() => refusal({ ...members, messages }, name)).not.toThrow();
    }),
    { numRuns: 2000 },
  );
});
