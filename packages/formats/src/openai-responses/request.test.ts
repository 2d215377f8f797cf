import fc from 'fast-check';
import type { ResponseCreateParams } from 'openai/resources/responses/responses';
import { describe, expect, it } from 'vitest';
import { RefusedError } from '../refused.ts';
import { droppedFields, ownFields, refusedFields, sharedFields } from './fields.ts';
import { openAiResponses } from './provider.ts';
import { translateRequest } from './request.ts';

const user = { role: 'user', content: 'Hi.' };

function translate(
  request: Record<string, unknown>,
  { model = 'gpt-4o', stream = false, prefill = false } = {},
): ResponseCreateParams & { input: unknown[] } {
  const body = JSON.stringify({ model: 'alias', messages: [user], ...request });
  return JSON.parse(translateRequest({ body, model, stream, prefill })) as ReturnType<
    typeof translate
  >;
}

/** The member and the code of a refusal. */
function refusal(request: Record<string, unknown>, options = {}): string[] {
  try {
    translate(request, options);
  } catch (error) {
    if (error instanceof RefusedError) return [error.param, error.code];
    throw error;
  }
  return [];
}

const weather = {
  type: 'function',
  function: { name: 'weather', description: 'Says it.', parameters: { type: 'object' } },
};
const callOf = (id: string) => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: '{"city":"Brno"}' },
});

describe('a request to the Responses API', () => {
  it('is not stored, unless the client says so', () => {
    expect(translate({}, { stream: true })).toEqual({
      model: 'gpt-4o',
      input: [user],
      store: false,
      stream: true,
    });
    expect(translate({ store: true }).store).toBe(true);
    expect(translate({ store: null }).store).toBe(false);
  });

  it('has the messages of a conversation as items, in their order', () => {
    const { input } = translate({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'developer', content: [{ type: 'text', text: 'Be kind.' }] },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url: 'https://a.example/b.png', detail: 'low' } },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } },
            {
              type: 'file',
              file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA' },
            },
            { type: 'file', file: { file_id: 'file_1' } },
            { type: 'file', file: { file_data: 'https://a.example/b.pdf' } },
          ],
        },
        {
          role: 'assistant',
          content: 'I look.',
          reasoning_details: [
            { type: 'reasoning.encrypted', data: 'enc', id: 'rs_1', format: 'openai-responses-v1' },
            { type: 'reasoning.encrypted', data: 'other', format: 'anthropic-claude-v1' },
            { type: 'reasoning.text', text: 'hm', format: 'openai-responses-v1' },
          ],
          tool_calls: [
            callOf('call_1'),
            { id: 'call_2', type: 'custom', custom: { name: 'run', input: 'ls' } },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: '21 °C' },
        { role: 'tool', tool_call_id: 'call_2', content: [{ type: 'text', text: 'a' }] },
        { role: 'assistant', content: null, refusal: 'No.' },
        { role: 'user', content: 'Why?', name: 'ada' },
      ],
    });
    expect(input).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'developer', content: [{ type: 'input_text', text: 'Be kind.' }] },
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'What is it?' },
          { type: 'input_image', image_url: 'https://a.example/b.png', detail: 'low' },
          { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'auto' },
          {
            type: 'input_file',
            filename: 'a.pdf',
            file_data: 'data:application/pdf;base64,AA',
          },
          { type: 'input_file', file_id: 'file_1' },
          { type: 'input_file', file_url: 'https://a.example/b.pdf' },
        ],
      },
      { type: 'reasoning', summary: [], encrypted_content: 'enc' },
      { role: 'assistant', content: [{ type: 'output_text', text: 'I look.' }] },
      { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{"city":"Brno"}' },
      { type: 'custom_tool_call', call_id: 'call_2', name: 'run', input: 'ls' },
      { type: 'function_call_output', call_id: 'call_1', output: '21 °C' },
      {
        type: 'custom_tool_call_output',
        call_id: 'call_2',
        output: [{ type: 'input_text', text: 'a' }],
      },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }] },
      { role: 'user', content: 'Why?' },
    ]);
  });

  it('has a short id for a call whose own is too long, and for its result', () => {
    const id = `functions.${'x'.repeat(80)}`;
    const { input } = translate({
      messages: [
        user,
        { role: 'assistant', tool_calls: [callOf(id)] },
        { role: 'tool', tool_call_id: id, content: 'x' },
      ],
    });
    const [, called, result] = input as { call_id: string }[];
    expect(called?.call_id).toMatch(/^call_[0-9a-f]{32}$/);
    expect(result?.call_id).toBe(called?.call_id);
  });

  it('marks the beginning of an answer only where the config says that the target continues it', () => {
    const messages = [user, { role: 'assistant', content: 'The best' }];
    const last = { role: 'assistant', content: [{ type: 'output_text', text: 'The best' }] };
    expect(translate({ messages }).input.at(-1)).toEqual(last);
    const marked = { ...last, status: 'in_progress' };
    expect(translate({ messages }, { prefill: true }).input.at(-1)).toEqual(marked);
    expect(refusal({}, { prefill: true })).toEqual(['messages', 'invalid_value']);
    const target = { baseUrl: 'https://api.openai.com/v1', model: 'gpt-5' };
    expect(openAiResponses.prefillOf(target)).toBe(false);
  });

  it('has tools, which are not strict unless the client says so', () => {
    const search = { search_context_size: 'low', user_location: { approximate: { city: 'Brno' } } };
    const grammar = { syntax: 'regex', definition: 'a+' };
    const { tools } = translate({
      tools: [
        weather,
        { type: 'function', function: { name: 'time', strict: true } },
        {
          type: 'custom',
          custom: { name: 'run', format: { type: 'grammar', grammar } },
        },
        { type: 'file_search', vector_store_ids: ['vs_1'] },
      ],
      web_search_options: search,
    });
    expect(tools).toEqual([
      {
        type: 'function',
        name: 'weather',
        description: 'Says it.',
        parameters: { type: 'object' },
        strict: false,
      },
      {
        type: 'function',
        name: 'time',
        parameters: { type: 'object', properties: {} },
        strict: true,
      },
      { type: 'custom', name: 'run', format: { type: 'grammar', ...grammar } },
      { type: 'file_search', vector_store_ids: ['vs_1'] },
      {
        type: 'web_search',
        search_context_size: 'low',
        user_location: { type: 'approximate', city: 'Brno' },
      },
    ]);
  });

  it.each([
    ['auto', 'auto'],
    ['none', 'none'],
    ['required', 'required'],
    [
      { type: 'function', function: { name: 'weather' } },
      { type: 'function', name: 'weather' },
    ],
    [
      { type: 'custom', custom: { name: 'run' } },
      { type: 'custom', name: 'run' },
    ],
    [
      {
        type: 'allowed_tools',
        allowed_tools: {
          mode: 'required',
          tools: [{ type: 'function', function: { name: 'weather' } }],
        },
      },
      { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'weather' }] },
    ],
    [{ type: 'file_search' }, { type: 'file_search' }],
  ])('has the tool_choice %j as %j', (asked, given) => {
    expect(translate({ tools: [weather], tool_choice: asked }).tool_choice).toEqual(given);
  });

  it.each([
    [{ response_format: { type: 'text' } }, {}],
    [{ response_format: { type: 'json_object' } }, { text: { format: { type: 'json_object' } } }],
    [
      {
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'x', strict: true, schema: { type: 'object' } },
        },
        verbosity: 'low',
      },
      {
        text: {
          format: { type: 'json_schema', name: 'x', strict: true, schema: { type: 'object' } },
          verbosity: 'low',
        },
      },
    ],
    [{ reasoning_effort: 'low' }, { reasoning: { effort: 'low' } }],
    [
      { reasoning: { effort: 'high', summary: 'auto', exclude: true }, reasoning_effort: 'low' },
      { reasoning: { effort: 'low', summary: 'auto' } },
    ],
    [{ max_tokens: 100 }, { max_output_tokens: 100 }],
    [{ max_tokens: 100, max_completion_tokens: 200 }, { max_output_tokens: 200 }],
    [{ max_tokens: 1 }, { max_output_tokens: 16 }],
    [
      { logprobs: true, top_logprobs: 3 },
      { top_logprobs: 3, include: ['message.output_text.logprobs'] },
    ],
    [{ logprobs: false, top_logprobs: 0 }, {}],
  ])('has %j as %j', (asked, given) => {
    expect(translate(asked)).toEqual({ ...translate({}), ...given });
  });

  it('has the options of a stream that the API knows', () => {
    const options = { include_usage: true, include_obfuscation: false };
    const { stream_options: sent } = translate({ stream_options: options }, { stream: true });
    expect(sent).toEqual({ include_obfuscation: false });
    expect(
      translate({ stream_options: { include_usage: true } }, { stream: true }),
    ).not.toHaveProperty('stream_options');
  });

  it.each([
    ['gpt-5', true],
    ['gpt-5.3-codex', true],
    ['o4-mini', true],
    ['openai/gpt-oss-20b', true],
    ['openai.gpt-5.6-luna', true],
    ['gpt-5-chat-latest', false],
    ['gpt-4o', false],
    ['llama-3.3-70b', false],
  ])(
    'asks for the encrypted reasoning where tools need it and %s has it: %s',
    (model, expected) => {
      const included = expected ? ['reasoning.encrypted_content'] : undefined;
      expect(translate({ tools: [weather] }, { model }).include).toEqual(included);
      expect(translate({}, { model }).include).toBeUndefined();
      const own = { include: ['reasoning.encrypted_content'] };
      expect(translate({ ...own, tools: [weather] }, { model }).include).toEqual(own.include);
    },
  );
});

describe('every member of a chat completion request', () => {
  it('passes where both APIs have it, or where it is the API’s own', () => {
    const members = Object.fromEntries([...sharedFields, ...ownFields].map((name) => [name, 'x']));
    expect(translate(members)).toEqual({ ...translate({}), ...members });
  });

  it('is dropped where it is a hint, or where no API has it', () => {
    const hints = Object.fromEntries(Object.keys(droppedFields).map((name) => [name, 0.5]));
    expect(translate({ ...hints, whatever: true })).toEqual(translate({}));
  });

  it.each([
    ['n', 2, 1],
    ['stop', 'END', null],
    ['stop', ['END'], []],
    ['logit_bias', { 50256: -100 }, {}],
    ['audio', { voice: 'x' }, null],
    ['modalities', ['text', 'audio'], ['text']],
    ['functions', [{ name: 'f' }], []],
    ['function_call', 'auto', 'none'],
    ['previous_response_id', 'resp_1', null],
    ['conversation', 'conv_1', null],
    ['background', true, false],
  ])('is refused for %s = %j, and not for %j', (name, value, nothing) => {
    expect(Object.keys(refusedFields)).toContain(name);
    expect(refusal({ [name]: value })).toEqual([name, 'unsupported_parameter']);
    expect(translate({ [name]: nothing })).toEqual(translate({}));
  });

  it.each([
    ['messages', { messages: [] }],
    ['messages[0]', { messages: ['Hi.'] }],
    ['messages[0].content', { messages: [{ role: 'user', content: 5 }] }],
    ['messages[0].role', { messages: [{ role: 'function', content: 'x' }] }],
    [
      'messages[0].content[0]',
      { messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] },
    ],
    ['messages[0].function_call', { messages: [{ role: 'assistant', function_call: {} }] }],
    ['messages[0].tool_call_id', { messages: [{ role: 'tool', content: 'x' }] }],
    ['tools', { tools: {} }],
    ['tools[0].function.name', { tools: [{ type: 'function' }] }],
  ])('names %s where it cannot be translated', (param, request) => {
    expect(refusal(request)[0]).toBe(param);
  });
});

it('names in an error the member of the client’s request', () => {
  const error = { message: 'Too many.', type: 'invalid_request_error', code: 'x' };
  const paramOf = (param: string) => {
    const text = JSON.stringify({ error: { ...error, param } });
    return openAiResponses.readError({ status: 400, headers: {}, text }, { body: '{}' }).error
      ?.param;
  };
  const params = ['max_output_tokens', 'input[3].content', 'text.format.schema', 'tools[0].name'];
  expect(params.map(paramOf)).toEqual([
    'max_completion_tokens',
    'messages',
    'response_format.schema',
    'tools[0].name',
  ]);
});

it('translates or refuses whatever the request is, and always as a refusal', () => {
  const names =
    'messages tools tool_choice response_format reasoning_effort reasoning text include max_tokens web_search_options stream_options';
  const vocabulary =
    'role content type text function name arguments tool_calls id user assistant tool system tool_call_id image_url url file file_data json_schema schema custom grammar format reasoning_details allowed_tools tools __proto__';
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
  fc.assert(
    fc.property(request, fc.boolean(), (members, prefill) => {
      const messages = members['messages'] ?? [user];
      expect(() => refusal({ ...members, messages }, { prefill, stream: true })).not.toThrow();
    }),
    { numRuns: 1000 },
  );
});
