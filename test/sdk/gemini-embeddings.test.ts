import { ApiError, GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedEmbedding, expectedText } from '../../apps/simulator/src/index.ts';
import { readEvents, viewJob } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';

// Embeddings of Google's and of OpenAI's SDK, over providers of both vendors.

const target = (provider: string, model: string) => ({ provider, model });
const gemini = target('primary-gemini', 'healthy');
const openai = target('primary', 'healthy');

/** Numbers and members that no translation writes. */
const untouched =
  '{ "embeddings" : [ {"values":[0.10, 1e-3],"future":1.50} ],"usageMetadata":{"promptTokenCount":3} }\n';
const answers = {
  untouched,
  empty: '{"embeddings":[]}',
  fewer: '{"embeddings":[{"values":[1]}]}',
  error: '{"error":{"code":503,"message":"no","status":"UNAVAILABLE"}}',
  page: '<p>busy',
  words: '{"embeddings":[{"values":["x"]},{"values":[2]}]}',
  broken: '{"embeddings":[{"values":[1,,2]},{"values":[2]}]}',
};

let fleet: Fleet;
let raw: RawProvider;
let google: GoogleGenAI;
let client: OpenAI;
beforeAll(async () => {
  raw = await startRawProvider(
    Object.fromEntries(
      Object.entries(answers).map(([name, body]) => [
        name,
        { contentType: 'application/json', body },
      ]),
    ),
  );
  fleet = await startFleet({
    models: {
      gemini: { targets: [gemini] },
      openai: { targets: [openai] },
      'gemini-embedding-x': { targets: [gemini] },
      'acme/gemini-embedding-x': { targets: [openai] },
      text: 'healthy:tokens=5',
      messages: { targets: [target('primary-anthropic', 'healthy')] },
      'gemini first': { targets: [target('primary-gemini', 'status:code=500'), openai] },
      'openai first': { targets: [target('primary', 'cut:after=2'), gemini] },
      ...Object.fromEntries(
        Object.keys(answers).map((name) => [
          name,
          { targets: [target('raw', name), target('backup-gemini', 'healthy')] },
        ]),
      ),
    },
    config: { providers: { raw: { api: 'gemini', baseUrl: raw.baseUrl } } },
  });
  google = new GoogleGenAI({
    apiKey: 'none',
    httpOptions: { baseUrl: fleet.url, retryOptions: { attempts: 1 } },
  });
  client = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(async () => {
  await fleet.close();
  await raw.close();
});

const contents = ['one', 'two'];
const vectors = contents.map((text) => expectedEmbedding(text, 4));
const config = { outputDimensionality: 4 };

describe('embedContent', () => {
  it.each(['gemini', 'openai', 'gemini first', 'openai first'])(
    'has the vectors of %s, in order, and the tokens',
    async (model) => {
      const { embeddings, usageMetadata } = (await google.models.embedContent({
        model,
        contents,
        config,
      })) as { embeddings?: { values?: number[] }[]; usageMetadata?: object };
      expect(embeddings?.map(({ values }) => values)).toEqual(vectors);
      expect(usageMetadata).toEqual({ promptTokenCount: 2 });
    },
  );

  it.each(['gemini', 'openai'])('of one content has one vector of %s', async (model) => {
    const body = { content: { parts: [{ text: 'one' }] }, output_dimensionality: 4 };
    const answer = await call(`${fleet.url}/v1beta/models/${model}:embedContent`, { body });
    const { embedding } = jsonOf(answer) as { embedding: { values: number[] } };
    // Google reads both spellings; the simulated provider of Google reads only its own.
    expect(embedding.values).toEqual(expectedEmbedding('one', model === 'gemini' ? 3072 : 4));
  });

  it('passes to and from a provider of Google, except for the model', async () => {
    const requests = [
      { content: { parts: [{ text: 'one' }], future: 1 }, taskType: 'RETRIEVAL_QUERY', model: 'x' },
    ];
    const url = `${fleet.url}/v1beta/models/untouched:batchEmbedContents`;
    const answer = await call(url, { body: { requests } });
    expect(answer.text).toBe(untouched);
    const { path, body } = raw.received.at(-1) ?? { path: '', body: '{}' };
    expect(path).toBe('/v1/models/untouched:batchEmbedContents');
    expect(JSON.parse(body)).toEqual({
      requests: requests.map((one) => ({ ...one, model: 'models/untouched' })),
    });
    const id = String(answer.headers['x-request-id']);
    expect((await viewJob(fleet.url, id)).usage).toMatchObject({ prompt_tokens: 3 });
  });

  it('is a job by the name of its endpoint', async () => {
    const made = await call(`${fleet.url}/v1/jobs`, {
      body: {
        endpoint: '/v1beta/models:embedContent',
        body: { model: 'openai', content: { parts: [{ text: 'one' }] }, outputDimensionality: 4 },
      },
    });
    const { id } = jsonOf(made) as { id: string };
    await readEvents(fleet.url, id).ended;
    expect(await viewJob(fleet.url, id)).toMatchObject({
      status: 'completed',
      result: { embedding: { values: vectors[0] } },
    });
  });

  const text = { parts: [{ text: 'x' }] };
  it.each([
    ['no content', 'gemini:embedContent', {}, 400],
    ['no request', 'gemini:batchEmbedContents', { requests: [] }, 400],
    ['a request without content', 'gemini:batchEmbedContents', { requests: [{}] }, 400],
    ['an unknown model', 'none:embedContent', { content: text }, 404],
    ['a model without embeddings', 'messages:embedContent', { content: text }, 400],
    [
      'a file',
      'openai:embedContent',
      { content: { parts: [{ inlineData: { mimeType: 'image/png', data: 'aGk=' } }] } },
      400,
    ],
    [
      'several sizes',
      'openai:batchEmbedContents',
      { requests: [{ content: text, outputDimensionality: 4 }, { content: text }] },
      400,
    ],
  ])('with %s is refused in Google’s form', async (_what, rest, body, code) => {
    const answer = await call(`${fleet.url}/v1beta/models/${rest}`, { body });
    expect([answer.status, jsonOf(answer)]).toMatchObject([
      code,
      { error: { code, status: code === 404 ? 'NOT_FOUND' : 'INVALID_ARGUMENT' } },
    ]);
  });

  it('with an error of the SDK', async () => {
    const work = google.models.embedContent({ model: 'messages', contents });
    await expect(work).rejects.toBeInstanceOf(ApiError);
  });
});

describe('OpenAI’s embeddings over a provider of Google', () => {
  it('are its vectors, as floats and in base64, with usage', async () => {
    for (const encoding_format of ['float', undefined] as const) {
      const answer = await client.embeddings.create({
        model: 'gemini',
        input: contents,
        dimensions: 4,
        ...(encoding_format && { encoding_format }),
      });
      expect(answer.data.map(({ embedding }) => embedding)).toEqual(vectors);
      expect(answer).toMatchObject({ object: 'list', usage: { prompt_tokens: 2 } });
    }
    const one = await client.embeddings.create({ model: 'gemini', input: 'one', dimensions: 4 });
    expect(one.data.map(({ embedding }) => embedding)).toEqual([vectors[0]]);
  });

  it.each(['empty', 'fewer', 'error', 'page', 'words', 'broken'])(
    'come from the next provider after an answer that is none: %s',
    async (model) => {
      const { data, response } = await client.embeddings
        .create({ model, input: contents, dimensions: 4 })
        .withResponse();
      expect(data.data.map(({ embedding }) => embedding)).toEqual(vectors);
      expect(response.headers.get('x-millrace-served-by')).toBe('backup-gemini/healthy');
    },
  );

  it('of tokens are refused', async () => {
    const work = client.embeddings.create({ model: 'gemini', input: [1, 2] });
    await expect(work).rejects.toMatchObject({ status: 400, param: 'input' });
  });
});

describe('URLs of Vertex AI', () => {
  const vertex = () =>
    new GoogleGenAI({
      vertexai: true,
      apiKey: 'none',
      httpOptions: { baseUrl: fleet.url, retryOptions: { attempts: 1 } },
    });

  it('are those of the same API', async () => {
    const { models } = vertex();
    const asked = { model: 'text', contents: 'hello' };
    const { text } = await models.generateContent(asked);
    expect(text).toBe(expectedText({ tokens: 5 }));
    let streamed = '';
    for await (const part of await models.generateContentStream(asked)) streamed += part.text ?? '';
    expect(streamed).toBe(text);
    expect((await models.countTokens(asked)).totalTokens).toBeGreaterThan(0);
    const work = models.generateContent({ ...asked, model: 'none' });
    await expect(work).rejects.toMatchObject({ status: 404 });
  });

  it.each(['gemini-embedding-x', 'acme/gemini-embedding-x'])(
    'have vectors of %s',
    async (model) => {
      const { embeddings } = await vertex().models.embedContent({ model, contents: 'one', config });
      expect(embeddings?.[0]?.values).toHaveLength(model.startsWith('acme') ? 4 : 3072);
    },
  );

  it('may name a project', async () => {
    const url = `${fleet.url}/v1/projects/p/locations/us-central1/publishers/google/models/text:generateContent`;
    const answer = await call(url, { body: { contents: [{ parts: [{ text: 'hello' }] }] } });
    expect(jsonOf(answer)).toMatchObject({ candidates: [{ finishReason: 'STOP' }] });
  });
});
