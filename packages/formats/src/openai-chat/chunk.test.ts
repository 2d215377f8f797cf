import { describe, expect, it } from 'vitest';
import {
  errorOf,
  finishReasons,
  hasToolCall,
  isUsageOnly,
  plainContent,
  usageOf,
  visibility,
} from './chunk.ts';

const chunk = (delta: unknown, rest: object = {}) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: null, ...rest }],
});

describe('visible is', () => {
  it.each([
    ['content', { content: 'a' }],
    ['white space', { role: 'assistant', content: ' ' }],
    ['content in parts', { content: [{ type: 'text', text: 'a' }] }],
    [
      'thinking within content',
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'a' }] }] },
    ],
    ['refusal', { content: null, refusal: 'no' }],
    ['reasoning_content', { content: '', reasoning_content: 'hm' }],
    ['reasoning', { content: '', reasoning: 'hm' }],
    ['reasoning_text', { reasoning_text: 'hm' }],
    ['thinking', { thinking: 'hm' }],
    ['thinking in an object', { thinking: { content: 'hm' } }],
    ['reasoning_details', { reasoning_details: [{ type: 'reasoning.text', text: 'hm' }] }],
    ['encrypted reasoning', { reasoning_details: [{ type: 'reasoning.encrypted', data: 'x' }] }],
    ['thinking_blocks', { thinking_blocks: [{ type: 'thinking', thinking: 'hm' }] }],
    [
      'the start of a tool call',
      { tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '' } }] },
    ],
    ['a part of a tool call', { tool_calls: [{ index: 0, function: { arguments: '{' } }] }],
    [
      'a custom tool call',
      { tool_calls: [{ index: 0, id: 'c', type: 'custom', custom: { name: 'f' } }] },
    ],
    ['a function call', { function_call: { name: 'f', arguments: '' } }],
    ['audio', { audio: { id: 'audio_1', data: 'AAAA' } }],
    ['the words of audio', { audio: { transcript: 'a' } }],
    ['an image', { content: '', images: [{ type: 'image_url', image_url: { url: 'data:' } }] }],
  ])('%s', (_name, delta) => {
    expect(visibility(chunk(delta))).toBe('visible');
  });

  it('a choice other than the first', () => {
    const two = chunk({ content: '' });
    two.choices.push({ index: 1, delta: { content: 'a' }, finish_reason: null });
    expect(visibility(two)).toBe('visible');
  });

  it('a whole message where there is no delta', () => {
    expect(visibility({ choices: [{ index: 0, message: { content: 'a' } }] })).toBe('visible');
  });
});

describe('not visible is', () => {
  it.each([
    ['a role', { role: 'assistant' }],
    ['a role with empty content', { role: 'assistant', content: '', refusal: null }],
    ['nothing', {}],
    ['no delta', undefined],
    ['empty lists', { content: [], tool_calls: [], reasoning_details: [], thinking_blocks: [] }],
    [
      'nulls',
      { content: null, tool_calls: null, function_call: null, reasoning: null, audio: null },
    ],
    ['empty parts', { content: [{ type: 'text', text: '' }] }],
    [
      'reasoning that only begins',
      {
        content: '',
        reasoning_details: [
          { type: 'reasoning.text', id: 'rs', format: 'f', index: 0, text: '', signature: '' },
        ],
      },
    ],
    [
      'a tool call delta that adds nothing',
      { tool_calls: [{ index: 0, id: '', type: 'function', function: { arguments: '' } }] },
    ],
    ['an audio id', { audio: { id: 'audio_1', expires_at: 1 } }],
    ['vendor fields', { content: '', channel: 'analysis', token_id: 7, index: 0, metadata: {} }],
  ])('%s', (_name, delta) => {
    expect(visibility(chunk(delta))).toBe('empty');
  });

  it('a finish_reason, usage, no choices', () => {
    expect(visibility(chunk({}, { finish_reason: 'stop' }))).toBe('empty');
    expect(visibility({ choices: [], usage: { total_tokens: 1 } })).toBe('empty');
  });

  it('the whole message so far beside an empty delta', () => {
    expect(visibility(chunk({ content: '' }, { message: { content: 'a b' } }))).toBe('empty');
  });
});

describe('a chunk of any shape', () => {
  const deep = (depth: number) =>
    JSON.parse(`${'['.repeat(depth)}""${']'.repeat(depth)}`) as unknown;

  it.each([
    undefined,
    null,
    0,
    '',
    'x',
    true,
    [],
    {},
    [[]],
    { choices: null },
    { choices: {} },
    { choices: 'x' },
    {
      choices: [
        null,
        1,
        'x',
        [],
        {},
        { delta: 1 },
        { delta: [] },
        { delta: { tool_calls: [null, 1] } },
      ],
    },
    { usage: 1, error: null },
    { choices: [], usage: null },
    { error: '' },
    { error: false },
    { choices: [{ finish_reason: 7 }, { finish_reason: '' }, { index: 0, error: null, usage: 3 }] },
  ])('%j says nothing and breaks nothing', (value) => {
    expect(visibility(value)).toBe('empty');
    expect(finishReasons(value)).toEqual([]);
    expect(usageOf(value)).toBeUndefined();
    expect(errorOf(value)).toBeUndefined();
    expect(isUsageOnly(value)).toBe(false);
  });

  it('may be nested without end: what is too deep to read counts as visible', () => {
    expect(visibility(chunk({ reasoning_details: deep(3) }))).toBe('empty');
    expect(visibility(chunk({ reasoning_details: deep(5000) }))).toBe('visible');
  });
});

describe('finish reasons', () => {
  it('come with the index of their choice', () => {
    const chunks = {
      choices: [
        { index: 2, delta: {}, finish_reason: 'stop' },
        { index: 0, delta: {}, finish_reason: null },
        { delta: {}, finish_reason: 'length' },
      ],
    };
    expect(finishReasons(chunks)).toEqual([
      { index: 2, reason: 'stop' },
      { index: 2, reason: 'length' },
    ]);
  });
});

describe('usage', () => {
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };

  it('is found at the top, in x_groq, in the choice', () => {
    expect(usageOf({ choices: [], usage })).toBe(usage);
    expect(usageOf({ choices: [{ index: 0 }], x_groq: { id: 'req', usage } })).toBe(usage);
    expect(usageOf(chunk({}, { finish_reason: 'stop', usage }))).toBe(usage);
    expect(usageOf({ ...chunk({ content: 'a' }), usage: null })).toBeUndefined();
  });

  it('stands alone in a chunk without choices', () => {
    expect(isUsageOnly({ choices: [], usage })).toBe(true);
    expect(isUsageOnly({ ...chunk({}), usage })).toBe(false);
    expect(isUsageOnly({ choices: [], prompt_filter_results: [] })).toBe(false);
    expect(isUsageOnly({ choices: [], usage, error: { message: 'x' } })).toBe(false);
  });
});

describe('an error in an event', () => {
  const error = { message: 'overloaded', code: 503 };

  it('is found at the top, in a choice, in the event itself, beside an answer', () => {
    expect(errorOf({ error })).toBe(error);
    expect(errorOf({ type: 'error', error })).toBe(error);
    expect(errorOf({ ...chunk({ content: '' }), usage: {}, error })).toBe(error);
    expect(errorOf(chunk({ content: '' }, { finish_reason: 'error', error }))).toBe(error);
    const event = { object: 'error', message: 'x', code: 400 };
    expect(errorOf(event)).toBe(event);
  });

  it('may be a bare text', () => {
    expect(errorOf({ error: 'overloaded' })).toEqual({ message: 'overloaded' });
  });
});

describe('a tool call delta', () => {
  it('is one even when it adds nothing, unlike a list without calls', () => {
    expect(hasToolCall({ tool_calls: [{ index: 0, function: { arguments: '' } }] })).toBe(true);
    expect(hasToolCall({ function_call: {} })).toBe(true);
    for (const delta of [{}, { tool_calls: [] }, { tool_calls: null }, { tool_calls: [null] }]) {
      expect(hasToolCall(delta)).toBe(false);
    }
  });
});

describe('a plain content', () => {
  it('is the text of a chunk that adds it to the first choice', () => {
    expect(plainContent(chunk({ content: 'a' }))).toBe('a');
    expect(plainContent(chunk({ role: 'assistant', content: 'a' }, { logprobs: null }))).toBe('a');
  });

  it.each([
    ['an empty text', chunk({ content: '' })],
    ['another choice', chunk({ content: 'a' }, { index: 1 })],
    ['two choices', { choices: [{ delta: { content: 'a' } }, { delta: { content: 'b' } }] }],
    ['reasoning beside it', chunk({ content: 'a', reasoning_content: 'b' })],
    ['a refusal beside it', chunk({ content: 'a', refusal: 'b' })],
    ['a tool call beside it', chunk({ content: 'a', tool_calls: [{ index: 0 }] })],
    ['log probabilities', chunk({ content: 'a' }, { logprobs: { content: [] } })],
    ['an end', chunk({ content: 'a' }, { finish_reason: 'stop' })],
    ['parts', chunk({ content: [{ type: 'text', text: 'a' }] })],
    ['no chunk', 'a'],
  ])('is not there with %s', (_what, value) => {
    expect(plainContent(value)).toBeUndefined();
  });
});
