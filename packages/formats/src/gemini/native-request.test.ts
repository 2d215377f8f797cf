import { describe, expect, it } from 'vitest';
import { nativeRequest } from './native-request.ts';
import { noSignature } from './signatures.ts';

const url = { model: 'alias', stream: true, alt: 'json' };
const contents = [{ role: 'user', parts: [{ text: 'Hi.', future: 1 }] }];
const send = (
  body: object,
  {
    turns = [] as { role: 'assistant' | 'user'; content: string }[],
    model = 'gemini-2.5-pro',
  } = {},
) => {
  const native = { body: JSON.stringify({ ...url, ...body }), turns };
  return JSON.parse(nativeRequest(native, { model, body: '{"max_tokens":60}' })) as object;
};

describe('a Gemini client’s own request to a Gemini provider', () => {
  it('is the same, without what its URL had', () => {
    const body = { contents, future: { a: 1 }, generation_config: { topK: 5 } };
    expect(send(body)).toEqual(body);
  });

  it('has the turns that continue its answer, and what is left of the limit', () => {
    const turns = [
      { role: 'assistant' as const, content: 'Once' },
      { role: 'user' as const, content: 'Go on.' },
    ];
    expect(
      send({ contents, generation_config: { maxOutputTokens: 99, topK: 5 } }, { turns }),
    ).toEqual({
      contents: [
        ...contents,
        { role: 'model', parts: [{ text: 'Once' }] },
        { role: 'user', parts: [{ text: 'Go on.' }] },
      ],
      generation_config: { maxOutputTokens: 60, topK: 5 },
    });
    const named = { contents, generationConfig: { max_output_tokens: 99 } };
    expect(send(named, { turns })).toMatchObject({ generationConfig: { max_output_tokens: 60 } });
  });

  it('marks calls of other vendors’ models, for models that check signatures', () => {
    const call = { functionCall: { name: 'f', args: {} } };
    const signed = { ...call, thoughtSignature: 'c2ln' };
    const own = (parts: object[]) => ({ contents: [...contents, { role: 'model', parts }] });
    const model = 'gemini-3-pro-preview';
    const marked = { ...call, thoughtSignature: noSignature };
    expect(send(own([call, call]), { model })).toEqual(own([marked, call]));
    expect(send(own([signed, call]), { model })).toEqual(own([signed, call]));
    expect(send(own([call]))).toEqual(own([call]));
  });
});
