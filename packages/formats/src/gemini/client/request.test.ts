import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../client-port.ts';
import { toInner } from './request.ts';

const hello = { role: 'user', parts: [{ text: 'Hi.' }] };
const inner = (body: Record<string, unknown>) =>
  JSON.parse(toInner({ model: 'alias', contents: [hello], ...body }).body) as Record<
    string,
    unknown
  >;
const messages = (contents: unknown[], more: Record<string, unknown> = {}) =>
  inner({ contents, ...more })['messages'];
const lost = (body: Record<string, unknown>) =>
  toInner({ model: 'alias', contents: [hello], ...body }).inexpressible?.param;

describe('a request of a Gemini client', () => {
  it('has nothing but its messages if nothing else is asked for', () => {
    expect(inner({ safetySettings: [], generationConfig: {} })).toEqual({
      model: 'alias',
      messages: [{ role: 'user', content: 'Hi.' }],
    });
  });

  it.each([
    ['systemInstruction', 'generationConfig', 'maxOutputTokens', 'stopSequences'],
    ['system_instruction', 'generation_config', 'max_output_tokens', 'stop_sequences'],
  ])('may have its names as %s', (system, config, max, stop) => {
    const body = {
      [system]: { parts: [{ text: 'Be' }, { text: ' brief.' }] },
      [config]: { [max]: 5, [stop]: ['END'], temperature: 0.5, topP: 0.9, candidateCount: 2 },
    };
    expect(inner({ ...body, stream: true })).toEqual({
      model: 'alias',
      stream: true,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi.' },
      ],
      max_tokens: 5,
      stop: ['END'],
      temperature: 0.5,
      top_p: 0.9,
      n: 2,
    });
  });

  it('has calls, their results by id or by order, and signatures', () => {
    const call = (name: string, more = {}) => ({ functionCall: { name, args: { a: 1 }, ...more } });
    const result = (name: string, response: unknown, more = {}) => ({
      functionResponse: { name, response, ...more },
    });
    expect(
      messages([
        hello,
        {
          role: 'model',
          parts: [
            { text: 'Hm.', thought: true },
            { text: 'I look.', thoughtSignature: 'c2ln' },
            { ...call('f'), thoughtSignature: 'Y2FsbA==' },
            call('f'),
            call('g', { id: 'own' }),
          ],
        },
        {
          role: 'user',
          parts: [
            result('g', { output: 'three' }, { id: 'own' }),
            result('f', { sky: 'grey' }),
            result('f', { output: 'two' }),
            { text: 'And?' },
          ],
        },
      ]),
    ).toEqual([
      { role: 'user', content: 'Hi.' },
      {
        role: 'assistant',
        content: 'I look.',
        extra_content: { google: { thought_signature: 'c2ln' } },
        tool_calls: [
          {
            id: 'call_1',
            type: 'function',
            function: { name: 'f', arguments: '{"a":1}' },
            extra_content: { google: { thought_signature: 'Y2FsbA==' } },
          },
          { id: 'call_2', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
          { id: 'own', type: 'function', function: { name: 'g', arguments: '{"a":1}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'own', content: 'three' },
      { role: 'tool', tool_call_id: 'call_1', content: '{"sky":"grey"}' },
      { role: 'tool', tool_call_id: 'call_2', content: 'two' },
      { role: 'user', content: 'And?' },
    ]);
  });

  it('has one message of the model for the contents of a chat, one for each event of a stream', () => {
    const said = (...parts: object[]) => ({ role: 'model', parts });
    const call = { functionCall: { name: 'f' } };
    const answered = { functionResponse: { id: 'new', name: 'f', response: { output: 'x' } } };
    expect(
      messages([
        hello,
        said({ text: 'On' }),
        said({ text: 'ce', thought: true }, { text: 'ce.' }),
        said({ text: '' }, { thoughtSignature: 'c2ln' }),
        said(call),
        // A result with an id although its call has none.
        { role: null, parts: [answered] },
      ]),
    ).toEqual([
      { role: 'user', content: 'Hi.' },
      {
        role: 'assistant',
        content: 'Once.',
        tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'call_1', content: 'x' },
    ]);
  });

  it('has images, audio and documents', () => {
    const inline = (mimeType: string) => ({ inlineData: { mimeType, data: 'aGk=' } });
    const fileUri = 'https://example.com/a.png';
    const parts = [
      inline('image/png'),
      { inline_data: { mime_type: 'audio/mp3', data: 'aGk=' } },
      inline('application/pdf'),
      { fileData: { fileUri, mimeType: 'image/png' } },
    ];
    expect(messages([{ parts }])).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } },
          { type: 'input_audio', input_audio: { data: 'aGk=', format: 'mp3' } },
          {
            type: 'file',
            file: { filename: 'file.pdf', file_data: 'data:application/pdf;base64,aGk=' },
          },
          { type: 'image_url', image_url: { url: fileUri } },
        ],
      },
    ]);
  });

  it('has tools with schemas of either form, and a choice', () => {
    const parameters = {
      type: 'OBJECT',
      properties: { n: { type: 'INTEGER', nullable: true }, list: { type: 'ARRAY', items: {} } },
      propertyOrdering: ['n'],
    };
    const functionDeclarations = [{ name: 'f', parameters }, { name: 'g' }];
    const toolConfig = (config: object) => ({ toolConfig: { functionCallingConfig: config } });
    const asked = (config: object) =>
      inner({ tools: [{ functionDeclarations }], ...toolConfig(config) });
    expect(asked({ mode: 'ANY', allowedFunctionNames: ['f'] })).toMatchObject({
      tools: [
        {
          function: {
            name: 'f',
            parameters: {
              type: 'object',
              properties: { n: { type: ['integer', 'null'] }, list: { type: 'array', items: {} } },
            },
          },
        },
        { function: { name: 'g', parameters: { type: 'object', properties: {} } } },
      ],
      tool_choice: { type: 'function', function: { name: 'f' } },
    });
    expect(asked({ mode: 'NONE' })['tool_choice']).toBe('none');
    expect(asked({ mode: 'ANY' })['tool_choice']).toBe('required');
    expect(asked({ mode: 'AUTO' })['tool_choice']).toBeUndefined();
    expect(asked({ mode: 'ANY', allowedFunctionNames: ['f', 'g'] })['tool_choice']).toMatchObject({
      type: 'allowed_tools',
      allowed_tools: { mode: 'required', tools: [{}, {}] },
    });
  });

  it.each([
    [{ responseMimeType: 'application/json' }, { response_format: { type: 'json_object' } }],
    [
      { responseMimeType: 'application/json', responseSchema: { type: 'STRING' } },
      {
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'answer', schema: { type: 'string' } },
        },
      },
    ],
    [{ thinkingConfig: { thinkingLevel: 'HIGH' } }, { reasoning_effort: 'high' }],
    [{ thinkingConfig: { thinkingBudget: 0 } }, { reasoning_effort: 'none' }],
    [{ thinkingConfig: { thinkingBudget: 5000 } }, { reasoning_effort: 'medium' }],
    [{ thinkingConfig: { thinkingBudget: -1, includeThoughts: true } }, {}],
    [
      { responseLogprobs: true, logprobs: 3 },
      { logprobs: true, top_logprobs: 3 },
    ],
  ])('has the config %j', (generationConfig, expected) => {
    expect(inner({ generationConfig })).toEqual({ ...inner({}), ...expected });
  });

  it.each([
    [{ tools: [{ googleSearch: {} }] }, 'tools[0]'],
    [{ cachedContent: 'cachedContents/a' }, 'cachedContent'],
    [
      { generationConfig: { responseModalities: ['AUDIO'] } },
      'generationConfig.responseModalities',
    ],
    [{ contents: [{ parts: [{ fileData: { fileUri: 'gs://a' } }] }] }, 'contents[0].parts[0]'],
    [
      { contents: [hello, { role: 'model', parts: [{ executableCode: {} }] }] },
      'contents[1].parts[0]',
    ],
    [{ systemInstruction: { parts: [{ inlineData: {} }] } }, 'systemInstruction.parts[0]'],
    [{ safetySettings: [{}], tools: [{ googleSearch: null }] }, undefined],
  ])('with %j can only be expressed by Gemini at %s', (body, param) => {
    expect(lost(body)).toBe(param);
  });

  it.each([
    [{ contents: [] }, 'contents'],
    [{ contents: [{ role: 'robot', parts: [{ text: 'x' }] }] }, 'contents[0].role'],
    [{ contents: [{ parts: [] }] }, 'contents[0].parts'],
    [{ contents: [{ parts: [{ inlineData: {} }] }] }, 'contents[0].parts[0].inline_data.data'],
    [{ generationConfig: { temperature: 'hot' } }, 'generation_config.temperature'],
    [{ tools: [{ functionDeclarations: [{}] }] }, 'tools[0].function_declarations[0].name'],
    [{ stream: 1 }, 'stream'],
    [{ model: '' }, 'model'],
  ])('with %j is not valid at %s', (body, param) => {
    const read = () => inner(body);
    expect(read).toThrow(InvalidRequest);
    expect(read).toThrow(expect.objectContaining({ param }) as Error);
  });
});
