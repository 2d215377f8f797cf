import { describe, expect, it } from 'vitest';
import {
  geminiEmbeddings,
  geminiEmbeddingsAtOpenAi,
  openAiEmbeddingsAtGemini,
} from './embeddings.ts';

type Format = typeof geminiEmbeddings;
const read = (format: Format, answer: string, body: object) =>
  format.readWhole?.(answer, { body: JSON.stringify(body), model: 'm' } as Parameters<
    NonNullable<Format['readWhole']>
  >[1]);

const input = { input: ['a', 'b'] };
const requests = { requests: ['a', 'b'].map((text) => ({ content: { parts: [{ text }] } })) };

describe('an answer without one of its vectors is a fault, and gets the vector of no other input', () => {
  it.each([
    'null',
    '[]',
    '{}',
    '{"values":[]}',
    '{"values":null}',
    '{"values":[1 2]}',
    '{"values":0}',
  ])('from Google: %s', (one) => {
    const answer = `{"embeddings":[{"values":[1,2]},${one}]}`;
    for (const format of [geminiEmbeddings, openAiEmbeddingsAtGemini]) {
      expect(read(format, answer, { ...input, ...requests })).toMatchObject({ kind: 'fault' });
    }
  });

  it.each(['null', '""', 'false', '[]', '[1,,2]'])('from OpenAI: %s', (vector) => {
    const answer = `{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":${vector}}]}`;
    expect(read(geminiEmbeddingsAtOpenAi, answer, requests)).toMatchObject({ kind: 'fault' });
  });

  it('and numbers of any form are passed on', () => {
    const answer = '{"embeddings":[{"values":[1, -2.5e-3]},{"values":[0.1,2E+5 ]}]}';
    expect(read(openAiEmbeddingsAtGemini, answer, input)).toMatchObject({ kind: 'completed' });
  });
});
