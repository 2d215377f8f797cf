import { describe, expect, it } from 'vitest';
import { droppedFields, refusedFields } from './fields.ts';
import { refusal, translate } from './request.fixture.ts';

const config = (request: Record<string, unknown>, model?: string) =>
  translate(request, model === undefined ? {} : { model }).generationConfig;

describe('a request for Gemini', () => {
  it('has nothing but its contents if nothing else is asked for', () => {
    expect(translate({ stream: true, n: 1, temperature: null, tools: [] })).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'Hi.' }] }],
    });
  });

  it('has the options of the sampling, the length and the end under their names', () => {
    expect(
      config({
        max_completion_tokens: 500,
        max_tokens: 7,
        n: 3,
        temperature: 1.5,
        top_p: 0.9,
        top_k: 40,
        seed: 5,
        stop: 'END',
        logprobs: true,
        top_logprobs: 4,
      }),
    ).toEqual({
      maxOutputTokens: 500,
      candidateCount: 3,
      temperature: 1.5,
      topP: 0.9,
      topK: 40,
      seed: 5,
      stopSequences: ['END'],
      responseLogprobs: true,
      logprobs: 4,
    });
  });

  it('leaves out the options of the sampling for models that ignore them', () => {
    const asked = { temperature: 0, top_p: 0.9, top_k: 40, max_tokens: 5 };
    for (const model of ['gemini-3.6-flash', 'gemini-flash-latest', 'models/gemini-4-pro']) {
      expect(config(asked, model)).toEqual({ maxOutputTokens: 5 });
    }
  });

  it('folds a seed into the 32 bits that Gemini has', () => {
    expect(config({ seed: 2 ** 31 })).toEqual({ seed: -(2 ** 31) });
    expect(config({ seed: 2 ** 40 + 9 })).toEqual({ seed: 9 });
  });

  it.each([
    [{ type: 'text' }, undefined],
    [{ type: 'json_object' }, { responseMimeType: 'application/json' }],
    [
      { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' }, strict: true } },
      { responseMimeType: 'application/json', responseJsonSchema: { type: 'object' } },
    ],
  ])('asks for the format %j', (response_format, expected) => {
    expect(config({ response_format })).toEqual(expected);
  });

  it('asks for images, and for a tier that Gemini has', () => {
    const { generationConfig, serviceTier } = translate({
      modalities: ['text', 'image'],
      service_tier: 'flex',
    });
    expect(generationConfig).toEqual({ responseModalities: ['TEXT', 'IMAGE'] });
    expect(serviceTier).toBe('flex');
    expect(translate({ service_tier: 'auto', modalities: ['text'] })).toEqual(translate({}));
  });

  it('passes Gemini’s own members on, at the top or as Google’s OpenAI-compatible API has them', () => {
    const safety = [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_NONE' }];
    const own = {
      safetySettings: safety,
      cachedContent: 'cachedContents/a',
      generationConfig: { mediaResolution: 'MEDIA_RESOLUTION_LOW', maxOutputTokens: 3 },
    };
    expect(translate({ ...own, max_tokens: 9 })).toMatchObject(own);
    const google = { safety_settings: safety, thinking_config: { include_thoughts: true } };
    expect(translate({ extra_body: { google } })).toEqual({
      ...translate({}),
      safetySettings: safety,
      generationConfig: { thinkingConfig: { include_thoughts: true } },
    });
  });

  it('drops hints and options of OpenAI’s service', () => {
    const asked = Object.fromEntries(Object.keys(droppedFields).map((name) => [name, 1]));
    expect(translate(asked)).toEqual(translate({}));
  });

  it.each([
    ['n', 9],
    ['n', 0],
    ['logit_bias', { 50: 1 }],
    ['audio', { voice: 'a' }],
    ['web_search_options', {}],
    ['moderation', {}],
    ['functions', [{ name: 'f' }]],
    ['function_call', 'auto'],
  ])('is refused with %s %j', (name, value) => {
    expect(Object.keys(refusedFields)).toContain(name);
    expect(refusal({ [name]: value })).toEqual([name, 'unsupported_parameter']);
    expect(refusal({ [name]: null })).toEqual([]);
  });

  it.each([
    [{ modalities: ['audio'] }, 'modalities', 'unsupported_value'],
    [{ response_format: { type: 'grammar' } }, 'response_format.type', 'unsupported_value'],
    [{ response_format: 'json' }, 'response_format', 'invalid_value'],
    [{ stop: [5] }, 'stop', 'invalid_value'],
    [{ max_tokens: 'many' }, 'max_completion_tokens', 'invalid_value'],
    [{ messages: {} }, 'messages', 'invalid_value'],
    [{ messages: [] }, 'messages', 'invalid_value'],
    [{ messages: [7] }, 'messages[0]', 'invalid_value'],
    [{ messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role', 'unsupported_value'],
  ])('is refused with %j', (request, ...refused) => {
    expect(refusal(request)).toEqual(refused);
  });

  it('that is to be continued must end with the beginning of the answer', () => {
    const assistant = { role: 'assistant', content: 'Once upon' };
    const { contents } = translate(
      { messages: [{ role: 'user', content: 'Go.' }, assistant] },
      { prefill: true },
    );
    expect(contents.at(-1)).toEqual({ role: 'model', parts: [{ text: 'Once upon' }] });
    expect(refusal({}, { prefill: true })).toEqual(['messages', 'invalid_value']);
  });
});

describe('thinking of Gemini', () => {
  const thinking = (effort: unknown, model: string, more: Record<string, unknown> = {}) =>
    config({ reasoning_effort: effort, ...more }, model)?.['thinkingConfig'];

  it.each([
    ['gemini-3.8-flash', 'none', { thinkingLevel: 'low', includeThoughts: false }],
    ['gemini-3.8-flash', 'minimal', { thinkingLevel: 'low', includeThoughts: true }],
    ['gemini-3.6-flash', 'minimal', { thinkingLevel: 'minimal', includeThoughts: true }],
    ['gemini-3-pro-preview', 'medium', { thinkingLevel: 'high', includeThoughts: true }],
    ['gemini-3.1-pro-preview', 'medium', { thinkingLevel: 'medium', includeThoughts: true }],
    ['gemini-flash-latest', 'xhigh', { thinkingLevel: 'high', includeThoughts: true }],
    ['gemini-2.5-flash', 'none', { thinkingBudget: 0 }],
    ['gemini-2.5-flash-lite', 'none', { thinkingBudget: 0 }],
    ['gemini-2.5-pro', 'none', { thinkingBudget: 128 }],
    ['gemini-2.5-flash', 'low', { thinkingBudget: 1024, includeThoughts: true }],
    ['models/gemini-2.5-pro', 'high', { thinkingBudget: 24_576, includeThoughts: true }],
    ['gemini-2.0-flash', 'high', undefined],
    ['gemma-3-27b-it', 'high', undefined],
  ])('%s with the effort %s', (model, effort, expected) => {
    expect(thinking(effort, model)).toEqual(expected);
  });

  it('leaves half of the answer’s tokens, and at least the least budget', () => {
    const budget = (max_tokens: number) => thinking('high', 'gemini-2.5-pro', { max_tokens });
    expect(budget(2000)).toMatchObject({ thinkingBudget: 1000 });
    expect(budget(20)).toMatchObject({ thinkingBudget: 128 });
  });

  it('is the caller’s own, if there is one', () => {
    const own = { thinkingBudget: 7 };
    expect(thinking('high', 'gemini-2.5-pro', { thinkingConfig: own })).toEqual(own);
    expect(refusal({ reasoning_effort: 'much' })).toEqual([
      'reasoning_effort',
      'unsupported_value',
    ]);
  });
});
