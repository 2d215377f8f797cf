import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedEmbedding } from '../../apps/simulator/src/index.ts';
import { readEvents, viewJob } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';
import { openSocket } from '../kit/socket.ts';

// OpenAI's SDK as a client of the APIs that pass through: whole calls, which another provider, or another worker, makes again.

const target = (provider: string, model: string) => ({ provider, model });
const price = { input: 1_000_000, output: 0 };

/** Bytes that no JSON library writes, and members that Millrace does not know. */
const untouched =
  '{ "object" : "list","future":1.50, "data":[ {"embedding":[0.10, 1e-3],"index":0} ],"usage":{"total_tokens":3}}\n';

let fleet: Fleet;
let raw: RawProvider;
let client: OpenAI;
beforeAll(async () => {
  raw = await startRawProvider({
    untouched: { contentType: 'application/json', body: untouched },
    empty: { contentType: 'application/json', body: '{"object":"list","data":[]}' },
  });
  const failing = (model: string) => ({
    targets: [target('primary', model), target('backup', 'healthy')],
  });
  fleet = await startFleet({
    admin: true,
    models: {
      plain: 'healthy',
      priced: { targets: [{ ...target('primary', 'healthy:seed=1'), price }] },
      'omni-moderation-latest': 'healthy',
      slow: 'healthy:first=60000',
      'after 500': failing('status:code=500'),
      'after cut': failing('cut:after=2'),
      'after empty': { targets: [target('raw', 'empty'), target('backup', 'healthy')] },
      'after messages': {
        targets: [target('primary-anthropic', 'healthy'), target('backup', 'healthy')],
      },
      messages: { targets: [target('primary-anthropic', 'healthy')] },
      rejected: 'status:code=400',
      untouched: { targets: [target('raw', 'untouched')] },
    },
    config: { providers: { raw: { api: 'openai', baseUrl: raw.baseUrl } } },
  });
  client = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(async () => {
  await fleet.close();
  await raw.close();
});

const post = (path: string, body: unknown, headers = {}) =>
  call(`${fleet.url}${path}`, { body, headers });

describe('embeddings', () => {
  it('are the vectors of the provider, in order, as floats and in base64', async () => {
    const input = ['one', 'two'];
    const expected = input.map((text) => expectedEmbedding(text, 8));
    // Without a format the SDK asks for base64, and decodes it.
    const { data, usage } = await client.embeddings.create({
      model: 'plain',
      input,
      dimensions: 8,
    });
    expect(data.map(({ embedding }) => embedding)).toEqual(expected);
    expect(usage.prompt_tokens).toBeGreaterThan(0);
    const { data: floats } = await client.embeddings.create({
      model: 'plain',
      input,
      dimensions: 8,
      encoding_format: 'float',
    });
    expect(floats.map(({ embedding }) => embedding)).toEqual(expected);
  });

  it('tokens are an input as well', async () => {
    const { data } = await client.embeddings.create({ model: 'plain', input: [[1, 2], [3]] });
    expect(data[0]?.embedding).toHaveLength(1536);
    expect(data).toHaveLength(2);
  });

  it('pass byte for byte in both directions, except the model', async () => {
    const body = '{ "input" : "x", "future":1.50,"model":"untouched" }';
    const answer = await call(`${fleet.url}/v1/embeddings`, {
      body,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.text).toBe(untouched);
    expect(raw.received.at(-1)?.body).toBe(body);
  });

  it.each(['after 500', 'after cut', 'after empty', 'after messages'])(
    'come from the next provider: %s',
    async (model) => {
      const { data, response } = await client.embeddings
        .create({ model, input: model, dimensions: 4 })
        .withResponse();
      expect(data.data[0]?.embedding).toEqual(expectedEmbedding(model, 4));
      expect(response.headers.get('x-millrace-served-by')).toBe('backup/healthy');
    },
  );

  it('survive the death of the worker that waits for them', async () => {
    const input = `dying ${crypto.randomUUID()}`;
    const isIt = ({ rawBody }: { rawBody: string }) => rawBody.includes(input);
    const work = client.embeddings.create({ model: 'slow', input, dimensions: 4 });
    const first = await fleet.primary.waitFor(isIt);
    await fleet.killWorkers();
    await fleet.addWorker();
    await fleet.primary.waitFor((one) => isIt(one) && one.number !== first.number);
    fleet.hurry();
    expect((await work).data[0]?.embedding).toEqual(expectedEmbedding(input, 4));
    fleet.primary.reset();
    fleet.backup.reset();
  });

  it('are paid for by the tokens that the provider counted', async () => {
    const { response, data } = await client.embeddings
      .create({ model: 'priced', input: 'x'.repeat(400) })
      .withResponse();
    const id = response.headers.get('x-request-id') ?? '';
    expect(data.usage.prompt_tokens).toBe(100);
    const read = async () => {
      const found = await call(`${fleet.url}/admin/requests/${id}`);
      return jsonOf(found) as { api?: string; usage?: object; cost?: number };
    };
    await expect
      .poll(read, { timeout: 20_000 })
      .toMatchObject({ api: '/v1/embeddings', status: 'completed', cost: 100 });
  });

  it('of one Idempotency-Key are made once', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const body = { model: 'plain', input: `once ${headers['idempotency-key']}`, dimensions: 4 };
    const first = await post('/v1/embeddings', body, headers);
    const second = await post('/v1/embeddings', body, headers);
    expect(second.text).toBe(first.text);
    expect(second.headers['idempotent-replayed']).toBe('true');
    const calls = fleet.primary.requests.filter(({ rawBody }) => rawBody.includes(body.input));
    expect(calls).toHaveLength(1);
  });
});

describe('moderations', () => {
  it('have a result for each input, by OpenAI’s default model', async () => {
    const { results } = await client.moderations.create({ input: ['violence', 'peace'] });
    expect(results.map(({ flagged }) => flagged)).toEqual([true, false]);
    expect(results[0]?.categories.violence).toBe(true);
  });
});

describe('rerank', () => {
  it('ranks documents', async () => {
    const answer = await post('/v1/rerank', {
      model: 'after 500',
      query: 'red fox',
      documents: ['a hen', 'the red fox', 'a fox'],
      top_n: 2,
    });
    const { results } = jsonOf(answer) as { results: { index: number }[] };
    expect(results.map(({ index }) => index)).toEqual([1, 2]);
  });
});

describe('jobs and WebSockets', () => {
  const body = { model: 'plain', input: 'a job', dimensions: 4 };
  const expected = { data: [{ embedding: expectedEmbedding('a job', 4) }] };

  it('a job has the answer as its chunk and as its result', async () => {
    const made = await post('/v1/jobs', { endpoint: '/v1/embeddings', body });
    expect(made.status).toBe(202);
    const { id } = jsonOf(made) as { id: string };
    const { events } = await readEvents(fleet.url, id).ended;
    const chunks = events.filter(({ event }) => event === 'chunk');
    expect(chunks.map(({ data }) => JSON.parse(data) as object)).toMatchObject([expected]);
    const view = await viewJob(fleet.url, id);
    expect(view).toMatchObject({ status: 'completed', result: expected });
    expect(view.usage).toMatchObject({ total_tokens: 2 });
  });

  it('a socket gets the answer as one chunk', async () => {
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', ref: 'a', endpoint: '/v1/embeddings', body });
    await socket.next(({ type }) => type === 'done');
    const chunks = socket.frames.filter(({ type }) => type === 'chunk');
    expect(chunks.map(({ data }) => data)).toMatchObject([expected]);
    await socket.close();
  });
});

describe('errors', () => {
  it.each([
    ['/v1/embeddings', { input: undefined }, 'input'],
    ['/v1/embeddings', { input: [] }, 'input'],
    ['/v1/embeddings', { input: 7 }, 'input'],
    ['/v1/embeddings', { model: undefined }, 'model'],
    ['/v1/embeddings', { stream: true }, 'stream'],
    ['/v1/moderations', { input: undefined }, 'input'],
    ['/v1/rerank', { documents: ['x'] }, 'query'],
    ['/v1/rerank', { query: 'x' }, 'documents'],
    ['/v1/rerank', { query: 'x', documents: [] }, 'documents'],
  ])('%s with %j is refused, with the member at fault', async (path, more, param) => {
    const answer = await post(path, { model: 'plain', input: 'x', ...more });
    expect(answer.status).toBe(400);
    expect(jsonOf(answer)).toMatchObject({ error: { type: 'invalid_request_error', param } });
  });

  it('a model whose providers have no such API is refused, and an unknown one is not found', async () => {
    const unsuited = await post('/v1/embeddings', { model: 'messages', input: 'x' });
    expect([unsuited.status, jsonOf(unsuited)]).toMatchObject([
      400,
      { error: { type: 'invalid_request_error', param: 'model', code: 'unsupported_value' } },
    ]);
    const unknown = await post('/v1/embeddings', { model: 'none', input: 'x' });
    expect(unknown.status).toBe(404);
  });

  it('an error of the provider is that of any request', async () => {
    const answer = await post('/v1/embeddings', { model: 'rejected', input: 'x' });
    expect([answer.status, jsonOf(answer)]).toMatchObject([
      400,
      { error: { type: 'invalid_request_error' } },
    ]);
  });
});
