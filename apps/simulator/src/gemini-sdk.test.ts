import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from '@google/genai';
import type { GenerateContentResponse } from '@google/genai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Simulator } from './index.ts';
import { expectedArguments, expectedReasoning, expectedText, startSimulator } from './index.ts';

let simulator: Simulator;
let client: GoogleGenAI;
const clientWith = (apiKey: string) =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl: simulator.url } });
beforeAll(async () => {
  simulator = await startSimulator({ apiKey: 'sk-test' });
  client = clientWith('sk-test');
});
afterAll(() => simulator.close());

const functionDeclarations = [{ name: 'weather', parametersJsonSchema: { type: 'object' } }];
const tools = [{ functionDeclarations }];

async function all(stream: AsyncIterable<GenerateContentResponse>) {
  const responses: GenerateContentResponse[] = [];
  for await (const response of stream) responses.push(response);
  return responses;
}
const textOf = (responses: readonly GenerateContentResponse[]) =>
  responses
    .flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? [])
    .map((part) => (part.thought ? '' : (part.text ?? '')))
    .join('');

describe('the official @google/genai package', () => {
  it('reads a healthy stream to its end, with the usage', async () => {
    const model = 'healthy:tokens=25,unicode=1,pace=1,eol=crlf';
    const responses = await all(
      await client.models.generateContentStream({ model, contents: 'hello' }),
    );
    expect(textOf(responses)).toBe(expectedText({ tokens: 25, unicode: 1 }));
    const last = responses.at(-1);
    expect(last?.candidates?.[0]?.finishReason).toBe('STOP');
    expect(last).toMatchObject({
      modelVersion: model,
      responseId: expect.stringMatching(/^sim\d{9}$/u) as unknown,
      usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 25, totalTokenCount: 30 },
    });
  });

  it.each([true, false])('reads thoughts and parallel calls (streamed: %s)', async (streamed) => {
    const asked = { model: 'tools:calls=3,reasoning=5', contents: 'hello', config: { tools } };
    const responses = streamed
      ? await all(await client.models.generateContentStream(asked))
      : [await client.models.generateContent(asked)];
    const parts = responses.flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? []);
    const thoughts = parts.filter(({ thought }) => thought).map(({ text }) => text);
    expect(thoughts.join('')).toBe(expectedReasoning(5).join(''));
    const calls = parts.filter(({ functionCall }) => functionCall);
    expect(calls.map(({ functionCall }) => functionCall)).toEqual(
      [0, 1, 2].map((call) => ({
        id: expect.stringMatching(new RegExp(`_${call}$`, 'u')) as unknown,
        name: 'weather',
        args: JSON.parse(expectedArguments(call, 8)) as unknown,
      })),
    );
    expect(calls.map(({ thoughtSignature }) => thoughtSignature !== undefined)).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('has its choices, lengths, tools and formats from the request', async () => {
    const contents = 'hello';
    const two = await client.models.generateContent({
      model: 'healthy:tokens=4',
      contents,
      config: { candidateCount: 2, maxOutputTokens: 3, systemInstruction: 'Be brief.' },
    });
    expect(two.candidates).toMatchObject([
      { index: 0, finishReason: 'MAX_TOKENS' },
      { index: 1, finishReason: 'MAX_TOKENS' },
    ]);
    const functionCallingConfig = { mode: FunctionCallingConfigMode.NONE };
    const none = await client.models.generateContent({
      model: 'tools:tokens=4',
      contents,
      config: { tools, toolConfig: { functionCallingConfig } },
    });
    expect(none.text).toBe(expectedText({ tokens: 4 }));
    const json = await client.models.generateContent({
      model: 'healthy',
      contents,
      config: { responseMimeType: 'application/json' },
    });
    expect(json.text).toBe('{"simulated":true}');
  });

  it('raises the simulated errors as its own', async () => {
    const create = (model: string, from = client) =>
      from.models.generateContent({
        model,
        contents: 'hello',
        config: { httpOptions: { retryOptions: { attempts: 1 } } },
      });
    for (const [model, status, name] of [
      ['s02', 429, 'RESOURCE_EXHAUSTED'],
      ['status', 503, 'UNAVAILABLE'],
      ['s12', 400, 'INVALID_ARGUMENT'],
      ['gemini-2.5-flash', 404, 'NOT_FOUND'],
    ] as const) {
      const error: unknown = await create(model).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ApiError);
      expect(error).toMatchObject({ status, message: expect.stringContaining(name) });
    }
    await expect(create('healthy', clientWith('sk-x'))).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('API_KEY_INVALID'),
    });
  });

  it('raises an error in mid-stream, after the text that came before it', async () => {
    const stream = await client.models.generateContentStream({
      model: 'error-event:after=7,pace=1',
      contents: 'hello',
    });
    const responses: GenerateContentResponse[] = [];
    const read = async () => {
      for await (const response of stream) responses.push(response);
    };
    await expect(read()).rejects.toMatchObject({ status: 503 });
    expect(textOf(responses)).toBe(expectedText({ tokens: 7 }));
  });
});

describe('a request to the simulated Gemini API', () => {
  const post = (body: unknown, key = 'sk-test') =>
    fetch(`${simulator.url}/v1beta/models/healthy:generateContent`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-goog-api-key': key },
      body: JSON.stringify(body),
    });
  const contents = [{ role: 'user', parts: [{ text: 'hello' }] }];
  const functionCall = { name: 'f', args: {} };

  it.each([
    [{ contents, model: 'm' }, 'Unknown name "model"'],
    [{ contents, generationConfig: { max_tokens: 5 } }, 'Unknown name "max_tokens"'],
    [{ contents: [] }, 'contents is not specified'],
    [{ contents: [{ role: 'assistant', parts: [{ text: 'x' }] }] }, 'valid role'],
    [{ contents: [{ role: 'user', parts: [] }] }, 'parts must not be empty'],
    [
      { contents: [{ role: 'model', parts: [{ functionCall }] }, ...contents] },
      'number of function',
    ],
  ])('%j is rejected as by the real one', async (body, message) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: {
        code: 400,
        status: 'INVALID_ARGUMENT',
        message: expect.stringContaining(message) as unknown,
      },
    });
  });

  it('is logged with the model of its path', async () => {
    expect((await post({ contents })).status).toBe(200);
    const seen = simulator.requests.at(-1);
    expect(seen).toMatchObject({ model: 'healthy', headers: { 'x-goog-api-key': '…' } });
    const list = await fetch(`${simulator.url}/v1beta/models?pageSize=1`, {
      headers: { 'x-goog-api-key': 'sk-test' },
    });
    expect(list.status).toBe(200);
  });
});
