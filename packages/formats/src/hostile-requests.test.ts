import { endpoints } from '@millrace/shared/domain/request';
import { providerApis } from '@millrace/shared/domain/provider-api';
import type { ProviderApi } from '@millrace/shared/domain/provider-api';
import { describe, expect, it } from 'vitest';
import { clientFormatOf, isNative } from './client-formats.ts';
import { InvalidRequest } from './client-port.ts';
import type { ClientFormat } from './client-port.ts';
import type { NativeCall } from './port.ts';
import { formatFor } from './provider-formats.ts';

/*
 * Requests of each client format in which one value is replaced by another one that JSON can have: a request is refused, or
 * reaches providers of all formats. Nothing throws.
 */

const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } };
const schema = { type: 'object', properties: { a: { type: 'string', nullable: true } } };
const requests = {
  '/v1/completions': {
    model: 'm',
    prompt: ['Once'],
    suffix: 'The end.',
    best_of: 1,
    logprobs: 2,
    stream: true,
    stream_options: { include_usage: true },
    stop: ['x'],
    logit_bias: { 5: 1 },
    temperature: 1,
    max_tokens: 5,
  },
  '/v1/messages': {
    model: 'm',
    max_tokens: 5,
    system: [{ type: 'text', text: 'Be brief.' }],
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'Hi.' }, image] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: { a: 1 } }] },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'x' }] },
        ],
      },
    ],
    tools: [{ name: 'f', description: 'x', input_schema: schema }],
    tool_choice: { type: 'tool', name: 'f' },
    thinking: { type: 'enabled', budget_tokens: 1024 },
    stop_sequences: ['x'],
    metadata: { user_id: 'u' },
  },
  '/v1/responses': {
    model: 'm',
    instructions: 'Be brief.',
    input: [
      {
        type: 'message',
        role: 'user',
        content: [
          { type: 'input_text', text: 'Hi.' },
          { type: 'input_image', image_url: 'data:image/png;base64,aGk=' },
        ],
      },
      { type: 'reasoning', id: 'r', summary: [{ type: 'summary_text', text: 'x' }] },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: 'x' },
    ],
    tools: [{ type: 'function', name: 'f', parameters: schema, strict: true }],
    tool_choice: { type: 'function', name: 'f' },
    text: { format: { type: 'json_schema', name: 'n', schema } },
    reasoning: { effort: 'low' },
  },
  '/v1beta/models:generateContent': {
    model: 'm',
    systemInstruction: { parts: [{ text: 'Be brief.' }] },
    contents: [
      {
        role: 'user',
        parts: [
          { text: 'Hi.' },
          { inlineData: { mimeType: 'image/png', data: 'aGk=' } },
          { inlineData: { mimeType: 'audio/wav', data: 'aGk=' } },
          { fileData: { mimeType: 'image/png', fileUri: 'https://example.com/a.png' } },
        ],
      },
      {
        role: 'model',
        parts: [
          { text: 'Hm.', thoughtSignature: 'c2ln' },
          { functionCall: { id: 'a', name: 'f', args: { a: 1 } } },
        ],
      },
      {
        role: 'user',
        parts: [{ functionResponse: { id: 'a', name: 'f', response: { output: 'x' } } }],
      },
    ],
    tools: [{ functionDeclarations: [{ name: 'f', description: 'x', parameters: schema }] }],
    toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['f', 'g'] } },
    generationConfig: {
      maxOutputTokens: 5,
      stopSequences: ['x'],
      responseMimeType: 'application/json',
      responseSchema: schema,
      responseModalities: ['TEXT'],
      thinkingConfig: { thinkingBudget: 100, thinkingLevel: 'LOW' },
      responseLogprobs: true,
      logprobs: 2,
    },
    serviceTier: 'flex',
  },
};

const odd: readonly unknown[] = [
  null,
  true,
  7,
  '',
  'odd',
  [],
  [null],
  [[]],
  {},
  { toString: 1, valueOf: 1 },
];

/** The value with each of the values in it replaced, and with each member added to the objects in it. */
function* variants(value: unknown): Generator {
  for (const one of odd) yield one;
  if (Array.isArray(value)) {
    const items = value as unknown[];
    for (const [index, item] of items.entries()) {
      for (const one of variants(item)) yield items.with(index, one);
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      for (const one of variants(member)) yield { ...value, [name]: one };
      const { [name]: _, ...others } = value as Record<string, unknown>;
      yield others;
    }
    yield { ...value, unknown: 1 };
  }
}

/** The inner form of a request; undefined if it is refused. */
function innerOf(format: ClientFormat, text: string): string | undefined {
  try {
    return format.toInner(JSON.parse(text) as Record<string, unknown>).body;
  } catch (error) {
    if (error instanceof InvalidRequest) return undefined;
    throw new Error(`${text} is not read`, { cause: error });
  }
}

const models: Readonly<Record<ProviderApi, string>> = {
  openai: 'm',
  anthropic: 'claude-sonnet-4-5',
  'openai-responses': 'gpt-5',
  gemini: 'gemini-3-pro',
};

describe.each(endpoints.filter((endpoint) => endpoint in requests))('%s', (endpoint) => {
  const format = clientFormatOf(endpoint);
  const asked = requests[endpoint as keyof typeof requests];
  const texts = [...variants(asked)]
    .filter((one) => typeof one === 'object' && one !== null && !Array.isArray(one))
    .map((one) => JSON.stringify(one));

  it('takes any value in any place, or refuses it', () => {
    expect(format).toBeDefined();
    if (!format) return;
    expect(innerOf(format, JSON.stringify(asked))).toBeDefined();
    expect(texts.length).toBeGreaterThan(100);
    for (const text of texts) innerOf(format, text);
  });

  it.each(providerApis)(
    'reaches a provider of the format %s with any value, or is refused',
    (api) => {
      const provider = formatFor({ api }, endpoint);
      expect(provider).toBeDefined();
      if (!format || !provider) return;
      const model = models[api];
      const turns = [{ role: 'assistant', content: 'Once' } as const];
      const requestOf = (body: string, native: NativeCall | undefined) =>
        provider.request({
          baseUrl: 'https://provider.example/v1',
          apiKey: 'k',
          body,
          native,
          isTranslated: native === undefined,
          stream: true,
          model,
          traceparent: undefined,
          prefill: false,
          identity: undefined,
        });
      for (const text of texts) {
        const body = innerOf(format, text);
        if (body === undefined) continue;
        const own = { body: text, turns: [] };
        const calls = isNative(endpoint, { api }) ? [own, { body: text, turns }] : [undefined];
        for (const native of calls) {
          try {
            requestOf(body, native);
          } catch (error) {
            throw new Error(`${text} has no request`, { cause: error });
          }
        }
      }
    },
  );
});
