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

/** All bytes, which no text has. */
const sound = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7) % 256));
const usage = { input_tokens: 30, output_tokens: 7, total_tokens: 37 };
const pictures = JSON.stringify({ created: 1, data: [{ b64_json: 'aGk=' }], usage });
const input_token_details = { audio_tokens: 29 };
const transcript = JSON.stringify({
  text: 'Hello',
  usage: { type: 'tokens', ...usage, input_token_details },
});
const subtitles = '1\n00:00:00,000 --> 00:00:01,000\nHällo\n';
/** Served at the second try, after an error and an answer of another kind. */
const afterFaults = (model: string) => ({
  targets: [target('raw', 'broken'), target('raw', 'page'), target('raw', model)],
});

/** The provider of `slow transcript` does not answer. */
let isSilent = false;

let fleet: Fleet;
let raw: RawProvider;
let client: OpenAI;
beforeAll(async () => {
  raw = await startRawProvider({
    untouched: { contentType: 'application/json', body: untouched },
    empty: { contentType: 'application/json', body: '{"object":"list","data":[]}' },
    broken: {
      contentType: 'application/json',
      body: '{"error":{"message":"no","type":"server_error"}}',
      status: 500,
    },
    page: { contentType: 'text/html', body: '<p>busy' },
    mp3: { contentType: 'audio/mpeg', body: sound },
    pictures: { contentType: 'application/json', body: pictures },
    transcript: { contentType: 'application/json', body: transcript },
    'slow transcript': {
      contentType: 'application/json',
      body: transcript,
      isSilent: () => isSilent,
    },
    subtitles: { contentType: 'text/plain; charset=utf-8', body: subtitles },
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
      'my-voice': afterFaults('mp3'),
      'my-pictures': afterFaults('pictures'),
      'my-ears': afterFaults('transcript'),
      'my-slow-ears': { targets: [target('raw', 'slow transcript')] },
      'my-subtitles': { targets: [target('raw', 'page'), target('raw', 'subtitles')] },
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
    const unnamed = await post('/v1/moderations', { input: 'peace', model: null });
    expect(jsonOf(unnamed)).toMatchObject({ results: [{ flagged: false }] });
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

describe('images and audio', () => {
  it('speech is the bytes of the provider, with their media type', async () => {
    const answer = await client.audio.speech.create({
      model: 'my-voice',
      input: 'Hello',
      voice: 'alloy',
    });
    expect(Buffer.from(await answer.arrayBuffer()).equals(sound)).toBe(true);
    expect(answer.headers.get('content-type')).toBe('audio/mpeg');
    expect(Number(answer.headers.get('x-millrace-attempts'))).toBeGreaterThan(2);
    expect(raw.received.at(-1)).toMatchObject({ path: '/v1/audio/speech' });
  });

  it('images come back as they are, and their tokens are counted', async () => {
    const answer = await client.images.generate({ model: 'my-pictures', prompt: 'A mill' });
    expect(answer).toMatchObject(JSON.parse(pictures) as object);
    const id = answer._request_id ?? '';
    expect((await viewJob(fleet.url, id)).usage).toMatchObject({
      prompt_tokens: 30,
      completion_tokens: 7,
    });
  });

  it('a form reaches the provider with its files, its texts and the model of the target', async () => {
    const image = new File([sound], 'a "mill" ü.png', { type: 'image/png' });
    await client.images.edit({
      model: 'my-pictures',
      prompt: 'Ärger',
      image: [image, image],
      n: 2,
    });
    const { path, headers, body } = raw.received.at(-1) ?? { headers: {}, body: '' };
    expect(path).toBe('/v1/images/edits');
    const form = await new Response(Buffer.from(body, 'latin1'), {
      headers: { 'content-type': headers['content-type'] ?? '' },
    }).formData();
    expect(form.get('model')).toBe('pictures');
    expect([form.get('prompt'), form.get('n')]).toEqual(['Ärger', '2']);
    const files = form.getAll('image[]') as unknown as File[];
    expect(files.map(({ name, type }) => [name, type])).toEqual(
      [1, 2].map(() => ['a "mill" ü.png', 'image/png']),
    );
    for (const file of files) {
      expect(Buffer.from(await file.arrayBuffer()).equals(sound)).toBe(true);
    }
  });

  it('a transcript is JSON, or the text that the request asks for', async () => {
    const file = () => new File([sound], 'hello.mp3', { type: 'audio/mpeg' });
    const json = await client.audio.transcriptions.create({ model: 'my-ears', file: file() });
    expect(json.text).toBe('Hello');
    const text = await client.audio.translations.create({
      model: 'my-subtitles',
      file: file(),
      response_format: 'srt',
    });
    expect(text).toBe(subtitles);
  });

  it('a form survives the death of the worker that waits for its answer', async () => {
    const prompt = `dying ${crypto.randomUUID()}`;
    const seen = () => raw.received.filter(({ body }) => body.includes(prompt)).length;
    const file = new File([sound], 'hello.mp3', { type: 'audio/mpeg' });
    isSilent = true;
    const work = client.audio.transcriptions.create({ model: 'my-slow-ears', file, prompt });
    await expect.poll(seen).toBe(1);
    isSilent = false;
    await fleet.killWorkers();
    await fleet.addWorker();
    expect((await work).text).toBe('Hello');
    expect(seen()).toBe(2);
  });

  it('a job takes files as data URLs, and has bytes as one', async () => {
    const data = `data:audio/mpeg;base64,${sound.toString('base64')}`;
    const jobs = [
      ['/v1/audio/speech', { model: 'my-voice', input: 'Hello' }, { data }, {}],
      [
        '/v1/audio/transcriptions',
        { model: 'my-ears', file: { data } },
        { text: 'Hello' },
        { prompt_tokens_details: input_token_details },
      ],
    ] as const;
    for (const [endpoint, body, result, used] of jobs) {
      const made = await post('/v1/jobs', { endpoint, body });
      const { id } = jsonOf(made) as { id: string };
      await readEvents(fleet.url, id).ended;
      expect(await viewJob(fleet.url, id)).toMatchObject({
        status: 'completed',
        result,
        usage: used,
      });
    }
  });

  const formTo = (path: string, fields: Record<string, string | Blob>) => {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    return fetch(`${fleet.url}${path}`, { method: 'POST', body });
  };

  it.each([
    ['/v1/audio/transcriptions', { model: 'my-ears' }, 400, 'file'],
    ['/v1/audio/transcriptions', { model: 'my-ears', file: 'x' }, 400, 'file'],
    ['/v1/audio/transcriptions', { file: new Blob(['x']) }, 400, 'model'],
    [
      '/v1/audio/translations',
      { model: 'my-ears', file: new Blob(['x']), stream: 'true' },
      400,
      'stream',
    ],
    ['/v1/images/edits', { model: 'my-pictures', image: new Blob(['x']) }, 400, 'prompt'],
    ['/v1/audio/speech', { model: 'my-voice', input: 'Hello' }, 415, null],
    [
      '/v1/images/variations',
      { model: 'my-pictures', image: new Blob([Buffer.alloc(13 * 1024 * 1024)]) },
      413,
      null,
    ],
  ])('a form for %s with %j is refused with %i', async (path, fields, status, param) => {
    const answer = await formTo(path, fields);
    expect([answer.status, await answer.json()]).toMatchObject([status, { error: { param } }]);
  });

  it('what is no form, and one with too many fields, is refused', async () => {
    const headers = { 'content-type': 'multipart/form-data; boundary=x' };
    const many = '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n'.repeat(200);
    for (const body of ['', 'x', '--x\r\n', `${many}--x--`]) {
      const url = `${fleet.url}/v1/images/edits`;
      const answer = await fetch(url, { method: 'POST', headers, body });
      expect([body.slice(0, 9), answer.status]).toEqual([body.slice(0, 9), 400]);
      expect(await answer.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
    }
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
