import OpenAI, { APIError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedSpeech, expectedText } from '../../apps/simulator/src/index.ts';
import { readEvents, viewJob } from '../kit/api.ts';
import { eventsOf } from '../kit/events.ts';
import { send } from '../kit/exchange.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf } from '../kit/http.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';

// OpenAI's SDK as a client of streamed images, speech and transcripts, whose events come as the provider sends them.

const target = (provider: string, model: string) => ({ provider, model });
const tokens = 4;
const healthy = `healthy:tokens=${tokens}`;
const cut = `cut:tokens=${tokens},after=2`;

const edited = [
  { type: 'image_edit.partial_image', b64_json: 'YQ==', partial_image_index: 0, future: 1.5 },
  { type: 'image_edit.completed', b64_json: 'Yg==', created_at: 7, usage: { total_tokens: 3 } },
  { type: 'image_edit.completed', b64_json: 'Yw==', created_at: 7 },
];
const sse = (events: readonly { type: string }[]) =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
const whole = { created: 7, data: [{ b64_json: 'YQ==' }], usage: { input_tokens: 3 } };
const chunks = ['He', 'llo'].map((content, index) => ({
  object: 'transcription.chunk',
  choices: [{ index: 0, delta: { content }, finish_reason: index === 1 ? 'stop' : null }],
}));

let fleet: Fleet;
let raw: RawProvider;
let client: OpenAI;
beforeAll(async () => {
  raw = await startRawProvider({
    edited: { contentType: 'text/event-stream', body: sse(edited) },
    whole: { contentType: 'application/json', body: JSON.stringify(whole) },
    'whole transcript': { contentType: 'application/json', body: '{"text":"Hello"}' },
    vllm: {
      contentType: 'text/event-stream',
      body: `${chunks.map((one) => `data: ${JSON.stringify(one)}\n\n`).join('')}data: [DONE]\n\n`,
    },
    page: { contentType: 'text/html', body: '<p>busy' },
    mp3: { contentType: 'audio/mpeg', body: Buffer.from([0xff, 0xfb, 0, 10, 0x80]) },
    html: { contentType: 'audio/svg+xml', body: '<svg/>' },
  });
  const failing = (first: string) => ({
    targets: [target('primary', first), target('backup', healthy)],
  });
  fleet = await startFleet({
    models: {
      plain: healthy,
      paced: `healthy:tokens=${tokens},pace=60000`,
      cut: { targets: [target('primary', cut)] },
      'after cut': failing(cut),
      'after 500': failing('status:code=500'),
      'after nothing': failing('cut:after=0'),
      'after error': failing('error-event:after=0'),
      'after page': { targets: [target('raw', 'page'), target('backup', healthy)] },
      unhurried: {
        targets: [
          target('primary', `healthy:tokens=${tokens},first=400,pace=400`),
          target('backup', healthy),
        ],
        firstTokenTimeout: '100ms',
        idleTimeout: '100ms',
      },
      ...Object.fromEntries(
        ['edited', 'whole', 'whole transcript', 'vllm', 'mp3', 'html'].map((name) => [
          name,
          { targets: [target('raw', name)] },
        ]),
      ),
    },
    config: { providers: { raw: { api: 'openai', baseUrl: raw.baseUrl } } },
  });
  client = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(async () => {
  await fleet.close();
  await raw.close();
});

const file = () => new File([Buffer.from([0, 255, 1])], 'hello.mp3', { type: 'audio/mpeg' });
const input = { input: 'Hello', voice: 'alloy' };

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const event of events) list.push(event);
  return list;
}

const pictures = async (model: string, more: object = {}) =>
  all(
    await client.images.generate({
      model,
      prompt: 'A mill',
      stream: true,
      partial_images: 2,
      ...more,
    }),
  );
const transcript = async (model: string) =>
  all(await client.audio.transcriptions.create({ model, file: file(), stream: true }));
const text = (events: readonly object[]) =>
  events.map((event) => ('delta' in event ? String(event.delta) : '')).join('');
const jobOf = (answer: { headers: Record<string, unknown> }) =>
  String(answer.headers['x-request-id']);

describe('images', () => {
  it('come with their partial images, and the usage with the last one', async () => {
    const events = await pictures('plain');
    expect(events.map(({ type }) => type)).toEqual([
      'image_generation.partial_image',
      'image_generation.partial_image',
      'image_generation.completed',
    ]);
    expect(events.at(-1)).toMatchObject({ usage: { output_tokens: tokens } });
  });

  it('pass as the provider sends them, also of a form, with the names of their events', async () => {
    const image = file();
    const stream = await client.images.edit({
      model: 'edited',
      prompt: 'x',
      image,
      n: 2,
      stream: true,
    });
    expect(await all(stream)).toEqual(edited);
    const { body } = raw.received.at(-1) ?? { body: '' };
    expect(body).toMatch(/name="stream"\r\n\r\ntrue\r\n/);
    const data = { filename: 'a.png', data: 'data:image/png;base64,aGk=' };
    const answer = await send(`${fleet.url}/v1/images/edits`, {
      body: { model: 'edited', prompt: 'x', image: data, n: 2, stream: true },
    }).ended;
    expect(answer.text).toBe(sse(edited));
    expect((await viewJob(fleet.url, jobOf(answer))).usage).toMatchObject({ prompt_tokens: 3 });
  });

  it('are edited, varied and made whole as well', async () => {
    const image = file();
    const { images } = client;
    const stream = await images.edit({
      model: 'plain',
      prompt: 'x',
      image,
      partial_images: 1,
      stream: true,
    });
    expect((await all(stream)).map(({ type }) => type)).toEqual([
      'image_edit.partial_image',
      'image_edit.completed',
    ]);
    for (const work of [
      images.generate({ model: 'plain', prompt: 'x' }),
      images.edit({ model: 'plain', prompt: 'x', image }),
      images.createVariation({ model: 'plain', image }),
    ]) {
      expect((await work).data).toHaveLength(1);
    }
    const said = await client.audio.translations.create({ model: 'plain', file: file() });
    expect(said.text).toBe(expectedText({ tokens }));
  });

  it('of a provider that streams none are their last event', async () => {
    expect(await pictures('whole')).toEqual([
      {
        type: 'image_generation.completed',
        b64_json: 'YQ==',
        created_at: 7,
        usage: { input_tokens: 3 },
      },
    ]);
  });

  it('may take their time: no other provider is asked meanwhile', async () => {
    const before = fleet.backup.requests.length;
    expect(await pictures('unhurried')).toHaveLength(3);
    expect(fleet.backup.requests.length).toBe(before);
  });
});

describe('transcripts', () => {
  it('come text by text', async () => {
    const events = await transcript('plain');
    expect(text(events)).toBe(expectedText({ tokens }));
    expect(events.at(-1)).toMatchObject({
      type: 'transcript.text.done',
      text: expectedText({ tokens }),
      usage: { output_tokens: tokens },
    });
  });

  it('of a provider that streams none are their last event', async () => {
    const done = { type: 'transcript.text.done', text: 'Hello' };
    expect(await transcript('whole transcript')).toEqual([done]);
  });

  it('of vLLM end with their finish_reason', async () => {
    expect(await transcript('vllm')).toEqual(chunks);
  });
});

describe('speech', () => {
  it('reaches its client while the provider makes it', async () => {
    const answer = await client.audio.speech.create({ model: 'paced', ...input });
    expect(answer.headers.get('content-type')).toBe('audio/wav');
    const reader = answer.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    const parts = [Buffer.from((await reader.read()).value ?? [])];
    expect(parts[0]?.length).toBeLessThan(expectedSpeech(2).length);
    fleet.hurry();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(Buffer.from(part.value));
    }
    fleet.primary.reset();
    fleet.backup.reset();
    expect(Buffer.concat(parts).equals(expectedSpeech(tokens))).toBe(true);
  });

  it('comes as events, with its usage', async () => {
    for (const model of ['plain', 'mp3']) {
      const answer = await send(`${fleet.url}/v1/audio/speech`, {
        body: { model, ...input, stream_format: 'sse' },
      }).ended;
      expect(answer.headers['content-type']).toMatch(/^text\/event-stream/);
      const events = eventsOf(answer.text).map(
        ({ data }) => JSON.parse(data) as { audio?: string },
      );
      const bytes = Buffer.concat(events.map(({ audio = '' }) => Buffer.from(audio, 'base64')));
      const expected =
        model === 'mp3' ? Buffer.from([0xff, 0xfb, 0, 10, 0x80]) : expectedSpeech(tokens);
      expect(bytes.equals(expected)).toBe(true);
      expect(events.at(-1)).toMatchObject({
        type: 'speech.audio.done',
        ...(model === 'plain' && { usage: { output_tokens: tokens } }),
      });
    }
  });

  it('has no type with which a browser would run it', async () => {
    const answer = await client.audio.speech.create({ model: 'html', ...input });
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('in another stream_format is refused', async () => {
    const work = client.audio.speech.create({
      model: 'plain',
      ...input,
      stream_format: 'x' as 'sse',
    });
    await expect(work).rejects.toMatchObject({ status: 400, param: 'stream_format' });
  });
});

describe('before anything was visible, the next provider answers', () => {
  const faults = ['after 500', 'after nothing', 'after error', 'after page'];
  it.each(faults)('with images: %s', async (model) => {
    expect(await pictures(model)).toHaveLength(3);
  });
  it.each(faults)('with a transcript: %s', async (model) => {
    expect(text(await transcript(model))).toBe(expectedText({ tokens }));
  });
  it.each(faults)('with speech: %s', async (model) => {
    const answer = await client.audio.speech.create({ model, ...input });
    expect(Buffer.from(await answer.arrayBuffer()).equals(expectedSpeech(tokens))).toBe(true);
    expect(answer.headers.get('x-millrace-served-by')).toBe(`backup/${healthy}`);
  });
  it('and its error has its status if there is none', async () => {
    const body = { model: 'none', prompt: 'x', stream: true };
    const answer = await call(`${fleet.url}/v1/images/generations`, { body });
    expect([answer.status, jsonOf(answer)]).toMatchObject([404, { error: { param: 'model' } }]);
  });
});

describe('in the middle, a cut is one error', () => {
  it.each(['cut', 'after cut'])('of images and transcripts: %s', async (model) => {
    for (const work of [() => pictures(model), () => transcript(model)]) {
      const error: unknown = await work().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(APIError);
      expect(error).toMatchObject({ error: { code: 'upstream_failed_mid_stream' } });
    }
    const body = { model, prompt: 'x', stream: true, partial_images: 3 };
    const { text: streamed } = await send(`${fleet.url}/v1/images/generations`, { body }).ended;
    expect(eventsOf(streamed).map(({ event }) => event)).toEqual([
      'image_generation.partial_image',
      'image_generation.partial_image',
      'error',
    ]);
  });

  it('of speech, whose connection ends', async () => {
    const answer = await client.audio.speech.create({ model: 'after cut', ...input });
    await expect(answer.arrayBuffer()).rejects.toThrow('terminated');
    const id = answer.headers.get('x-request-id') ?? '';
    expect(await viewJob(fleet.url, id)).toMatchObject({
      status: 'failed',
      error: { code: 'upstream_failed_mid_stream' },
    });
  });

  it('also when its worker dies', async () => {
    const answer = await client.audio.speech.create({
      model: 'paced',
      ...input,
      stream_format: 'sse',
    });
    const reader = answer.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    let streamed = '';
    const next = async () => {
      const { value, done } = await reader.read();
      streamed += Buffer.from(value ?? []).toString();
      return done;
    };
    while (!streamed.includes('speech.audio.delta')) await next();
    await fleet.killWorkers();
    await fleet.addWorker();
    while (!(await next()));
    expect(eventsOf(streamed).map(({ data }) => JSON.parse(data) as object)).toMatchObject([
      { type: 'speech.audio.delta' },
      { type: 'error', error: { code: 'upstream_failed_mid_stream' } },
    ]);
  });
});

describe('jobs', () => {
  const make = async (endpoint: string, body: object) => {
    const made = await call(`${fleet.url}/v1/jobs`, { body: { endpoint, body } });
    const { id } = jsonOf(made) as { id: string };
    const { events } = await readEvents(fleet.url, id).ended;
    const data = events
      .filter(({ event }) => event === 'chunk')
      .map((one) => JSON.parse(one.data) as { type: string });
    return { view: await viewJob(fleet.url, id), events, data };
  };

  it('have the events of the provider, and the answer that they make', async () => {
    const speech = await make('/v1/audio/speech', {
      model: 'plain',
      ...input,
      stream_format: 'audio',
    });
    const types = speech.data.map(({ type }) => type);
    expect(new Set(types.slice(0, -1))).toEqual(new Set(['speech.audio.delta']));
    expect(types.at(-1)).toBe('speech.audio.done');
    const data = `data:audio/wav;base64,${expectedSpeech(tokens).toString('base64')}`;
    expect(speech.view).toMatchObject({ status: 'completed', result: { data } });

    const image = await make('/v1/images/generations', {
      model: 'plain',
      prompt: 'x',
      stream: true,
      partial_images: 1,
    });
    expect(image.data).toHaveLength(2);
    expect(image.view).toMatchObject({
      result: { created: 1, data: [{ b64_json: expect.any(String) as string }] },
      usage: { completion_tokens: tokens },
    });

    const said = await make('/v1/audio/transcriptions', {
      model: 'plain',
      file: { data: 'data:audio/mpeg;base64,aGk=' },
      stream: true,
    });
    expect(said.view).toMatchObject({ result: { text: expectedText({ tokens }) } });
  });

  it('without a stream_format have speech in one piece', async () => {
    const { view, data } = await make('/v1/audio/speech', { model: 'plain', ...input });
    expect(data).toHaveLength(1);
    expect(view.result).toEqual({
      data: `data:audio/wav;base64,${expectedSpeech(tokens).toString('base64')}`,
    });
  });

  it('begin again after a cut, because their readers can take events back', async () => {
    const { view, events } = await make('/v1/audio/transcriptions', {
      model: 'after cut',
      file: { data: 'data:audio/mpeg;base64,aGk=' },
      stream: true,
    });
    expect(events.map(({ event }) => event)).toContain('reset');
    expect(view).toMatchObject({
      status: 'completed',
      result: { text: expectedText({ tokens }) },
    });
  });
});

it('a stream can be read again, also behind an event', async () => {
  const headers = { 'idempotency-key': crypto.randomUUID(), 'x-millrace-event-ids': 'on' };
  const url = `${fleet.url}/v1/images/generations`;
  const body = { model: 'plain', prompt: 'x', stream: true, partial_images: 3 };
  const first = eventsOf((await send(url, { body, headers }).ended).text);
  expect(first).toHaveLength(4);
  for (const [place, { id = '' }] of first.entries()) {
    const again = await send(url, { body, headers: { ...headers, 'last-event-id': id } }).ended;
    expect(eventsOf(again.text)).toEqual(first.slice(place + 1));
  }
  const speech = { model: 'plain', ...input };
  const key = { 'idempotency-key': crypto.randomUUID() };
  for (const replayed of [null, 'true']) {
    const answer = await fetch(`${fleet.url}/v1/audio/speech`, {
      method: 'POST',
      headers: { ...key, 'content-type': 'application/json' },
      body: JSON.stringify(speech),
    });
    expect(answer.headers.get('idempotent-replayed')).toBe(replayed);
    expect(Buffer.from(await answer.arrayBuffer()).equals(expectedSpeech(tokens))).toBe(true);
  }
});
