import { describe, expect, it } from 'vitest';
import { signature } from './events.fixture.ts';
import { callOf, refusal, translate, user } from './request.fixture.ts';
import { translateRequest } from './request.ts';
import { noSignature } from './signatures.ts';

const contents = (messages: unknown[], model?: string) =>
  translate({ messages }, model === undefined ? {} : { model }).contents;
const said = (content: unknown) => ({ role: 'assistant', content });
const part = (content: unknown, model?: string) =>
  contents([{ role: 'user', content: [content] }], model)[0]!.parts[0];
const refused = (content: unknown, model = 'gemini-3.1-pro') =>
  refusal({ messages: [{ role: 'user', content: [content] }] }, { model });
const google = (value: string) => ({ extra_content: { google: { thought_signature: value } } });

describe('a conversation for Gemini', () => {
  it('gathers the instructions in their order, wherever they stand', () => {
    const { systemInstruction, contents: rest } = translate({
      messages: [
        { role: 'system', content: 'One.' },
        user,
        { role: 'developer', content: [{ type: 'text', text: 'Two.' }] },
        said('Yes?'),
        user,
      ],
    });
    expect(systemInstruction).toEqual({ parts: [{ text: 'One.' }, { text: 'Two.' }] });
    expect(rest.map(({ role }) => role)).toEqual(['user', 'model', 'user']);
    // Instructions alone are the question.
    expect(translate({ messages: [{ role: 'system', content: 'One.' }] })).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'One.' }] }],
    });
  });

  it('joins messages of one role in a row, and leaves out what is empty', () => {
    const refusing = { type: 'refusal', refusal: 'No.' };
    expect(
      contents([user, said(null), user, said([refusing]), { ...said(''), refusal: 'Never.' }]),
    ).toEqual([
      { role: 'user', parts: [{ text: 'Hi.' }, { text: 'Hi.' }] },
      { role: 'model', parts: [{ text: 'No.' }, { text: 'Never.' }] },
    ]);
  });

  it('has calls and their results by id and name, each kind in a content of its own', () => {
    const result = (id: string, content: unknown) => ({
      role: 'tool',
      tool_call_id: id,
      content,
    });
    const messages = [
      user,
      { ...said('I look.'), tool_calls: [callOf('a', google(signature)), callOf('b')] },
      // Not a result: it comes behind them.
      user,
      result('a', '{"sky":"grey"}'),
      result('b', [{ type: 'text', text: 'rain' }]),
    ];
    const call = (id: string) => ({ id, name: 'weather', args: { city: 'Brno' } });
    const [, model, results, last] = contents(messages);
    expect(model).toEqual({
      role: 'model',
      parts: [
        { text: 'I look.' },
        { functionCall: call('a'), thoughtSignature: signature },
        { functionCall: call('b') },
      ],
    });
    const response = (id: string, value: object) => ({
      functionResponse: { id, name: 'weather', response: value },
    });
    expect(results).toEqual({
      role: 'user',
      parts: [response('a', { sky: 'grey' }), response('b', { output: 'rain' })],
    });
    expect(last).toEqual({ role: 'user', parts: [{ text: 'Hi.' }] });
  });

  it('keeps numbers of arguments and results that a double cannot hold', () => {
    const call = {
      ...callOf('a'),
      function: { name: 'f', arguments: '{"id":12345678901234567890}' },
    };
    const messages = [
      { ...said(null), tool_calls: [call] },
      { role: 'tool', tool_call_id: 'a', content: '{"id":98765432109876543210}' },
    ];
    const body = JSON.stringify({ messages });
    const sent = translateRequest({ body, model: 'gemini-2.5-pro', prefill: false });
    expect(sent).toContain('"args":{"id":12345678901234567890}');
    expect(sent).toContain('"response":{"id":98765432109876543210}');
  });

  it('marks calls without a signature for models that check it, the first of each turn', () => {
    const messages = [user, { ...said(null), tool_calls: [callOf('a'), callOf('b')] }];
    const signatures = (model: string) =>
      contents(messages, model)[1]!.parts.map(({ thoughtSignature }) => thoughtSignature);
    expect(signatures('gemini-3-flash-preview')).toEqual([noSignature, undefined]);
    expect(signatures('gemini-2.5-flash')).toEqual([undefined, undefined]);
  });

  it('sends the signature of a text back with it, and no thoughts', () => {
    const answer = { ...said('Four.'), reasoning_content: 'Two and two…', ...google(signature) };
    expect(contents([user, answer, user])[1]).toEqual({
      role: 'model',
      parts: [{ text: 'Four.', thoughtSignature: signature }],
    });
  });

  it('keeps arguments that are no JSON, as a text', () => {
    const broken = { ...callOf('a'), function: { name: 'f', arguments: '{"city":' } };
    const empty = { ...callOf('b'), function: { name: 'f', arguments: '' } };
    const args = contents([user, { ...said(null), tool_calls: [broken, empty] }])[1]!.parts.map(
      ({ functionCall }) => (functionCall as { args: unknown }).args,
    );
    expect(args).toEqual([{ invalid_arguments: '{"city":' }, {}]);
  });

  it.each([
    [{ role: 'tool', tool_call_id: 'x', content: '' }, 'messages[1].tool_call_id', 'invalid_value'],
    [
      { ...said(null), tool_calls: [{ type: 'custom' }] },
      'messages[1].tool_calls[0]',
      'unsupported_value',
    ],
    [{ ...said(null), function_call: {} }, 'messages[1].function_call', 'unsupported_value'],
  ])('is refused with the message %j', (message, ...expected) => {
    expect(refusal({ messages: [user, message] })).toEqual(expected);
  });
});

describe('a part for Gemini', () => {
  const image = (url: string) => ({ type: 'image_url', image_url: { url, detail: 'high' } });

  it.each([
    [image('data:image/jpg;base64,aGk='), { inlineData: { mimeType: 'image/jpeg', data: 'aGk=' } }],
    [
      image('https://example.com/a.png?x=1'),
      { fileData: { mimeType: 'image/png', fileUri: 'https://example.com/a.png?x=1' } },
    ],
    [image('https://example.com/a'), { fileData: { fileUri: 'https://example.com/a' } }],
    [
      { type: 'input_audio', input_audio: { data: 'aGk=', format: 'mp3' } },
      { inlineData: { mimeType: 'audio/mpeg', data: 'aGk=' } },
    ],
    [
      { type: 'file', file: { file_data: 'data:application/pdf;base64,aGk=', filename: 'a' } },
      { inlineData: { mimeType: 'application/pdf', data: 'aGk=' } },
    ],
    [
      { type: 'file', file: { file_data: 'aGk=', filename: 'a.PDF' } },
      { inlineData: { mimeType: 'application/pdf', data: 'aGk=' } },
    ],
    [
      {
        type: 'file',
        file: { file_id: 'https://generativelanguage.googleapis.com/v1beta/files/a' },
      },
      { fileData: { fileUri: 'https://generativelanguage.googleapis.com/v1beta/files/a' } },
    ],
  ])('%j', (content, expected) => {
    expect(part(content)).toEqual(expected);
  });

  it('at a URL outside of Google is refused for a model that reads none', () => {
    const param = 'messages[0].content[0].image_url.url';
    const elsewhere = image('https://example.com/a.png');
    expect(refused(elsewhere, 'gemini-2.0-flash')).toEqual([param, 'unsupported_value']);
    const youTube = 'https://www.youtube.com/watch?v=a';
    expect(part(image(youTube), 'gemini-2.0-flash')).toEqual({ fileData: { fileUri: youTube } });
  });

  it.each([
    [
      { type: 'file', file: { file_id: 'file-1' } },
      'messages[0].content[0].file',
      'unsupported_value',
    ],
    [
      { type: 'file', file: { file_data: 'aGk=' } },
      'messages[0].content[0].file.file_data',
      'invalid_value',
    ],
    [
      { type: 'image_url', image_url: { url: 'x' } },
      'messages[0].content[0].image_url.url',
      'invalid_value',
    ],
    [{ type: 'video' }, 'messages[0].content[0]', 'unsupported_value'],
  ])('%j is refused', (content, ...expected) => {
    expect(refused(content)).toEqual(expected);
  });

  it('of a result goes with it to models that take it', () => {
    const messages = [
      user,
      { role: 'assistant', content: null, tool_calls: [callOf('a')] },
      {
        role: 'tool',
        tool_call_id: 'a',
        content: [{ type: 'text', text: 'see' }, image('data:image/png;base64,aGk=')],
      },
    ];
    expect(contents(messages)[2]!.parts[0]).toEqual({
      functionResponse: {
        id: 'a',
        name: 'weather',
        response: { output: 'see' },
        parts: [{ inlineData: { mimeType: 'image/png', data: 'aGk=' } }],
      },
    });
    expect(refusal({ messages }, { model: 'gemini-2.5-pro' })).toEqual([
      'messages[2].content',
      'unsupported_value',
    ]);
  });
});
