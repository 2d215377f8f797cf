import { describe, expect, it } from 'vitest';
import { translateMessages } from './messages.ts';
import { traitsOf } from './models.ts';
import { RefusedError } from '../refused.ts';

const translate = (messages: unknown[], model = 'claude-sonnet-4-5') =>
  translateMessages(messages, traitsOf(model));
const text = (value: string) => ({ type: 'text', text: value });
const user = (content: unknown) => ({ role: 'user', content });
const part = (content: unknown) => translate([user([content])]).turns[0]!.content[0];
const refusal = (messages: unknown[], model?: string): string | undefined => {
  try {
    translate(messages, model);
  } catch (error) {
    if (error instanceof RefusedError) return error.param;
    throw error;
  }
  return undefined;
};
const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
const result = (id: string, content: unknown = id) => ({ role: 'tool', tool_call_id: id, content });

describe('a conversation for Anthropic', () => {
  it('gathers the instructions in their order, wherever they stand', () => {
    const { system, turns } = translate([
      { role: 'system', content: 'One.' },
      user('Hi.'),
      { role: 'developer', content: [text('Two.'), text('Three.')] },
      { role: 'assistant', content: 'Yes?' },
      { role: 'system', content: 'Four.' },
      user('Go on.'),
    ]);
    expect(system).toEqual([text('One.'), text('Two.'), text('Three.'), text('Four.')]);
    expect(turns.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
  });

  it('joins messages of one role in a row, and leaves out what is empty', () => {
    const { turns } = translate([
      user('A.'),
      user(['', ' \n', 'B.'].map(text)),
      { role: 'assistant', content: null },
      user(''),
      { role: 'assistant', content: 'C.' },
      { role: 'assistant', content: [text('D.'), { type: 'refusal', refusal: 'No.' }] },
      { role: 'assistant', content: '', refusal: 'Never.' },
      user('E.'),
    ]);
    expect(turns).toEqual([
      { role: 'user', content: [text('A.'), text('B.')] },
      { role: 'assistant', content: [text('C.'), text('D.'), text('No.'), text('Never.')] },
      { role: 'user', content: [text('E.')] },
    ]);
  });

  it('puts the results of tools together, before the text of the same turn', () => {
    const { turns, called } = translate([
      user('Go.'),
      { role: 'assistant', content: 'I call.', tool_calls: [call('a'), call('b')] },
      user('Quick!'),
      result('a', [text('one')]),
      result('b', ''),
      user('And?'),
    ]);
    expect(turns.slice(1)).toEqual([
      {
        role: 'assistant',
        content: [
          text('I call.'),
          { type: 'tool_use', id: 'a', name: 'f', input: {} },
          { type: 'tool_use', id: 'b', name: 'f', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'a', content: [text('one')] },
          { type: 'tool_result', tool_use_id: 'b' },
          text('Quick!'),
          text('And?'),
        ],
      },
    ]);
    expect([...called]).toEqual(['f']);
  });

  it('asks instructions as the user where there is nothing else', () => {
    expect(translate([{ role: 'system', content: 'Sing.' }])).toMatchObject({
      system: [],
      turns: [{ role: 'user', content: [text('Sing.')] }],
    });
  });

  it('keeps the marks of prompt caching, those of a message on its last block', () => {
    const cache_control = { type: 'ephemeral', ttl: '1h' };
    const { system, turns } = translate([
      { role: 'system', content: [{ ...text('A.'), cache_control }, text('B.')] },
      { ...user([text('C.'), text('D.')]), cache_control },
      { role: 'assistant', content: 'E.', tool_calls: [call('a')], cache_control },
      { ...result('a'), cache_control },
    ]);
    expect(system).toEqual([{ ...text('A.'), cache_control }, text('B.')]);
    expect(turns.map(({ content }) => content.map((block) => block['cache_control']))).toEqual([
      [undefined, cache_control],
      [undefined, cache_control],
      [cache_control],
    ]);
  });

  it('ends with a beginning of the answer where the model goes on from one, without white space', () => {
    const messages = [user('Count.'), { role: 'assistant', content: 'One, \n' }];
    const { turns, prefilled } = translate(messages);
    expect(prefilled).toBe(true);
    expect(turns[1]!.content).toEqual([text('One,')]);
    expect(refusal(messages, 'claude-opus-4-6')).toBe('messages');
  });

  it('passes thoughts back as they were signed, and nothing else in their place', () => {
    const thinking_blocks = [
      { type: 'thinking', thinking: '', signature: 'sig', index: 0 },
      { type: 'redacted_thinking', data: 'enc', index: 1 },
      { type: 'thinking', thinking: 'unsigned', signature: null },
      'x',
    ];
    const { turns } = translate([
      user('Go.'),
      { role: 'assistant', content: 'A.', reasoning_content: 'hm', thinking_blocks },
      user('On.'),
    ]);
    expect(turns[1]!.content).toEqual([
      { type: 'thinking', thinking: '', signature: 'sig' },
      { type: 'redacted_thinking', data: 'enc' },
      text('A.'),
    ]);
  });

  it.each([
    ['messages[1].role', [user('A.'), { role: 'function', name: 'f', content: 'x' }]],
    ['messages[0].content[1]', [user([text('A.'), { type: 'input_audio', input_audio: {} }])]],
    ['messages[0].content[0]', [{ role: 'system', content: [{ type: 'image_url' }] }]],
    ['messages[0].function_call', [{ role: 'assistant', function_call: { name: 'f' } }]],
    [
      'messages[0].tool_calls[0]',
      [{ role: 'assistant', tool_calls: [{ id: 'a', type: 'custom' }] }],
    ],
    ['messages[0].tool_call_id', [{ role: 'tool', content: 'x' }]],
  ])('is refused for %s', (param, messages) => {
    expect(refusal(messages)).toBe(param);
  });
});

describe('images and documents for Anthropic', () => {
  const pdf = 'data:application/pdf;base64,JVBERi0=';

  it.each([
    ['https://a.example/b.png', { type: 'url', url: 'https://a.example/b.png' }],
    [
      'data:image/png;base64,iVBORw==',
      { type: 'base64', media_type: 'image/png', data: 'iVBORw==' },
    ],
    ['DATA:image/JPG;base64,/9j/', { type: 'base64', media_type: 'image/jpeg', data: '/9j/' }],
  ])('%s is an image', (url, source) => {
    expect(part({ type: 'image_url', image_url: { url, detail: 'low' } })).toEqual({
      type: 'image',
      source,
    });
  });

  it.each([
    [
      { file_data: pdf, filename: 'a.pdf' },
      {
        source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' },
        title: 'a.pdf',
      },
    ],
    [
      { file_data: 'JVBERi0=', filename: 'a.PDF' },
      {
        source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' },
        title: 'a.PDF',
      },
    ],
    [
      { file_data: 'https://a.example/b.pdf' },
      { source: { type: 'url', url: 'https://a.example/b.pdf' } },
    ],
    [
      { file_data: `data:text/plain;charset=utf-8;base64,${btoa('plain')}` },
      { source: { type: 'text', media_type: 'text/plain', data: 'plain' } },
    ],
  ])('%j is a document', (file, block) => {
    expect(part({ type: 'file', file })).toEqual({ type: 'document', ...block });
  });

  it.each([
    ['image_url.url', { type: 'image_url', image_url: { url: 'data:image/tiff;base64,AAAA' } }],
    ['image_url.url', { type: 'image_url', image_url: { url: 'data:image/png,raw' } }],
    ['image_url.url', { type: 'image_url', image_url: { url: 'file:///etc/passwd' } }],
    ['image_url.url', { type: 'image_url' }],
    ['file', { type: 'file', file: { file_id: 'file-1' } }],
    ['file.file_data', { type: 'file', file: { file_data: 'data:application/zip;base64,AAAA' } }],
    ['file.file_data', { type: 'file', file: { file_data: 'AAAA', filename: 'a.docx' } }],
  ])('are refused at %s for %j', (place, content) => {
    expect(refusal([user([content])])).toBe(`messages[0].content[0].${place}`);
  });
});
