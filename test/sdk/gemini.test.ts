import { ApiError, GoogleGenAI } from '@google/genai';
import type { Content, GenerateContentConfig, GenerateContentResponse, Part } from '@google/genai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedReasoning, expectedText } from '../../apps/simulator/src/index.ts';
import { readEvents } from '../kit/api.ts';
import { eventsOf } from '../kit/events.ts';
import { send } from '../kit/exchange.ts';
import { call, jsonOf } from '../kit/http.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';

// Google's SDK as a client of /v1beta/models, over providers of both formats: whichever of them answers, or continues an
// answer that the other one began, the SDK reads one answer.

type Vendor = 'gemini' | 'openai';
const vendors = ['gemini', 'openai'] as const;
const other = (vendor: Vendor): Vendor => (vendor === 'openai' ? 'gemini' : 'openai');
const target = (role: 'primary' | 'backup', vendor: Vendor, model: string, more: object = {}) => ({
  provider: vendor === 'openai' ? role : `${role}-gemini`,
  model,
  ...more,
});
const alone = (vendor: Vendor, model: string) => ({ targets: [target('primary', vendor, model)] });
const continued = (vendor: Vendor, next: Vendor) => ({
  targets: [
    target('primary', vendor, 'cut:after=40'),
    target('backup', next, 'prefill', { prefill: true }),
  ],
});

/** Aliases of a vendor: one provider alone, or a first one that fails and a second one of each vendor. */
const modelsOf = (vendor: Vendor) => ({
  text: alone(vendor, 'healthy:tokens=30'),
  slow: alone(vendor, 'healthy:tokens=4,pace=200'),
  'slow-tools': alone(vendor, 'tools:calls=1,words=4,pace=60'),
  thoughts: alone(vendor, 'healthy:tokens=10,reasoning=6'),
  tools: alone(vendor, 'tools:calls=2'),
  'cut-same': continued(vendor, vendor),
  'cut-other': continued(vendor, other(vendor)),
  broken: alone(vendor, 'error-event:after=5'),
  ...Object.fromEntries(
    [400, 401, 404, 429, 500, 503].map((status) => [
      `status-${status}`,
      alone(vendor, `status:error=${errors[status]}`),
    ]),
  ),
});
const errors: Readonly<Record<number, string>> = {
  400: 'invalid_request',
  401: 'invalid_api_key',
  404: 'model_not_found',
  429: 'rate_limit_exceeded',
  500: 'server_error',
  503: 'overloaded',
};

/** Parts and members that no other format has, some of which this version does not know. */
const nativeResponses = [
  {
    candidates: [
      { content: { parts: [{ executableCode: { code: '1+1' } }], role: 'model' }, index: 0 },
    ],
    modelVersion: 'gemini-native',
    responseId: 'r1',
  },
  {
    candidates: [{ content: { parts: [{ text: 'Two "2"' }], role: 'model' }, index: 0 }],
    modelVersion: 'gemini-native',
    responseId: 'r1',
  },
  {
    candidates: [
      {
        content: { parts: [{ text: '', thoughtSignature: 'c2ln', future: 1 }], role: 'model' },
        finishReason: 'STOP',
        index: 0,
        safetyRatings: [{ category: 'X', probability: 'LOW' }],
        avgLogprobs: -0.5,
      },
    ],
    usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 2, totalTokenCount: 5, future: {} },
    modelVersion: 'gemini-native',
    responseId: 'r1',
  },
];
const nativeStream = nativeResponses.map((one) => `data: ${JSON.stringify(one)}\r\n\r\n`).join('');

let fleet: Fleet;
let raw: RawProvider;
let client: GoogleGenAI;
beforeAll(async () => {
  const models = Object.fromEntries(
    vendors.flatMap((vendor) =>
      Object.entries(modelsOf(vendor)).map(([name, model]) => [`${vendor}-${name}`, model]),
    ),
  );
  raw = await startRawProvider({
    stream: { contentType: 'text/event-stream', body: nativeStream },
    whole: { contentType: 'application/json', body: JSON.stringify(nativeResponses[2]) },
  });
  fleet = await startFleet({
    models: {
      ...models,
      native: { targets: [{ provider: 'raw', model: 'stream' }] },
      'native-whole': { targets: [{ provider: 'raw', model: 'whole' }] },
    },
    config: { providers: { raw: { api: 'gemini', baseUrl: raw.baseUrl } } },
  });
  client = new GoogleGenAI({
    apiKey: 'none',
    httpOptions: { baseUrl: fleet.url, retryOptions: { attempts: 1 } },
  });
});
afterAll(async () => {
  await fleet.close();
  await raw.close();
});

const functionDeclarations = [
  {
    name: 'get_weather',
    description: 'the weather',
    parametersJsonSchema: { type: 'object', properties: { city: { type: 'string' } } },
  },
];
const tools = [{ functionDeclarations }];

const partsOf = (responses: readonly GenerateContentResponse[]): Part[] =>
  responses.flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? []);
const textOf = (parts: readonly Part[], isThought = false): string =>
  parts
    .filter(({ thought }) => (thought ?? false) === isThought)
    .map(({ text }) => text ?? '')
    .join('');

async function stream(
  model: string,
  config: GenerateContentConfig = {},
  contents: string | Content[] = 'hello',
): Promise<GenerateContentResponse[]> {
  const responses: GenerateContentResponse[] = [];
  const answer = await client.models.generateContentStream({ model, contents, config });
  for await (const response of answer) responses.push(response);
  return responses;
}

describe.each(vendors)('with a provider of %s', (vendor) => {
  it('a stream has the text, one end, and the usage with it', async () => {
    const responses = await stream(`${vendor}-text`, { systemInstruction: 'Be brief.' });
    expect(textOf(partsOf(responses))).toBe(expectedText({ tokens: 30 }));
    const reasons = responses.flatMap(({ candidates }) => candidates?.[0]?.finishReason ?? []);
    expect(reasons).toEqual(['STOP']);
    expect(responses.at(-1)?.usageMetadata).toMatchObject({ candidatesTokenCount: 30 });
    const same = ({ responseId, modelVersion }: GenerateContentResponse) =>
      `${responseId} ${modelVersion}`;
    expect(new Set(responses.map(same)).size).toBe(1);
  });

  it('an answer that is not streamed has the same content', async () => {
    const answer = await client.models.generateContent({
      model: `${vendor}-text`,
      contents: 'hello',
    });
    expect(answer.text).toBe(expectedText({ tokens: 30 }));
    expect(answer.candidates).toMatchObject([{ finishReason: 'STOP', index: 0 }]);
    expect(answer.usageMetadata).toMatchObject({ candidatesTokenCount: 30 });
  });

  it('thoughts that are asked for are marked, and their tokens are counted apart', async () => {
    const thinkingConfig = { includeThoughts: true };
    const responses = await stream(`${vendor}-thoughts`, { thinkingConfig });
    const parts = partsOf(responses);
    expect(textOf(parts, true)).toBe(expectedReasoning(6).join(''));
    expect(textOf(parts)).toBe(expectedText({ tokens: 10 }));
    expect(responses.at(-1)?.usageMetadata).toMatchObject({
      thoughtsTokenCount: 6,
      candidatesTokenCount: 10,
    });
  });

  it('calls have their arguments, and their results lead to a text', async () => {
    const model = `${vendor}-tools`;
    const parts = partsOf(await stream(model, { tools }));
    const calls = parts.flatMap(({ functionCall }) => functionCall ?? []);
    expect(calls).toMatchObject([
      { name: 'get_weather', args: { city: 'simulated' } },
      { name: 'get_weather', args: { city: 'simulated' } },
    ]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    const results = calls.map(({ id, name }) => ({
      functionResponse: { id: id ?? '', name: name ?? '', response: { output: 'sun' } },
    }));
    const contents: Content[] = [
      { role: 'user', parts: [{ text: 'hello' }] },
      { role: 'model', parts: parts.filter(({ functionCall }) => functionCall) },
      { role: 'user', parts: results },
    ];
    const answer = await stream(model, { tools }, contents);
    expect(textOf(partsOf(answer))).toBe(expectedText({ tokens: 60 }));
  });

  it.each(['same', 'other'])(
    'an answer that breaks off is continued by a provider of the %s format',
    async (which) => {
      const responses = await stream(`${vendor}-cut-${which}`);
      expect(textOf(partsOf(responses))).toBe(expectedText({ tokens: 60 }));
      const reasons = responses.flatMap(({ candidates }) => candidates?.[0]?.finishReason ?? []);
      expect(reasons).toEqual(['STOP']);
    },
  );

  it.each([
    [400, 400, 'INVALID_ARGUMENT'],
    [401, 502, 'UNAVAILABLE'],
    [404, 502, 'UNAVAILABLE'],
    [429, 429, 'RESOURCE_EXHAUSTED'],
    [500, 500, 'INTERNAL'],
    [503, 503, 'UNAVAILABLE'],
  ])('an error of its provider with status %i has status %i, %s', async (status, seen, name) => {
    const work = client.models.generateContent({
      model: `${vendor}-status-${status}`,
      contents: 'hello',
    });
    const error: unknown = await work.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: seen, message: expect.stringContaining(name) });
  });

  it('a chat keeps an answer that was streamed, and sends it as one', async () => {
    const question = `hello ${crypto.randomUUID()}`;
    const chat = client.chats.create({ model: `${vendor}-text` });
    for await (const _ of await chat.sendMessageStream({ message: question })) continue;
    expect(textOf(chat.getHistory(true).flatMap(({ parts = [] }) => parts))).toBe(
      `${question}${expectedText({ tokens: 30 })}`,
    );
    for await (const _ of await chat.sendMessageStream({ message: 'And?' })) continue;
    const asked = fleet.primary.requests.findLast(({ rawBody }) => rawBody.includes(question));
    const seen = JSON.parse(asked?.rawBody ?? '{}') as { messages?: object[]; contents?: object[] };
    if (seen.contents) return;
    expect(seen.messages).toMatchObject([
      { role: 'user' },
      { role: 'assistant', content: expectedText({ tokens: 30 }) },
      { role: 'user', content: 'And?' },
    ]);
  });

  it('an answer that nothing can continue ends with an error event', async () => {
    await expect(stream(`${vendor}-broken`)).rejects.toMatchObject({
      message: expect.stringMatching(/"status":"(UNAVAILABLE|INTERNAL)"/),
    });
  });
});

describe('with a provider of its own format', () => {
  it('a request and its answer pass as they are, with what this version does not know', async () => {
    const body = {
      contents: [{ role: 'user', parts: [{ text: 'hello', videoMetadata: { fps: 1 } }] }],
      tools: [{ googleSearch: {} }, { codeExecution: {} }],
      generationConfig: { topK: 5, future: { of: 12345678901234567890n.toString() } },
      safetySettings: [{ category: 'X', threshold: 'OFF' }],
      future: [1],
    };
    const url = `${fleet.url}/v1beta/models/native:streamGenerateContent?alt=sse`;
    const { text } = await send(url, { body }).ended;
    const seen = raw.received.at(-1);
    expect(JSON.parse(seen?.body ?? '')).toEqual(body);
    const events = text
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .map((line) => JSON.parse(line.slice(6)) as object);
    expect(events).toEqual(nativeResponses);
    const whole = await call(`${fleet.url}/v1beta/models/native-whole:generateContent`, { body });
    expect(JSON.parse(whole.text)).toEqual(nativeResponses[2]);
  });

  it('a request that only this format can express is refused by others', async () => {
    const work = client.models.generateContent({
      model: 'openai-text',
      contents: 'hello',
      config: { tools: [{ googleSearch: {} }] },
    });
    await expect(work).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('tools[0]'),
    });
  });
});

describe('an answer with pauses that are longer than the keep-alive', () => {
  it.each(vendors.flatMap((vendor) => [`${vendor}-slow`, `${vendor}-slow-tools`]))(
    'of %s is read to its end',
    async (model) => {
      await fleet.reconfigure({ limits: { workerConcurrency: 1, keepAlive: '100ms' } });
      const { url } = await fleet.addIngress();
      const patient = new GoogleGenAI({ apiKey: 'none', httpOptions: { baseUrl: url } });
      const config = { tools };
      const answer = await patient.models.generateContentStream({ model, contents: 'hi', config });
      const responses: GenerateContentResponse[] = [];
      for await (const response of answer) responses.push(response);
      const parts = partsOf(responses);
      const isCall = model.endsWith('tools');
      expect(parts.some(({ functionCall }) => functionCall)).toBe(isCall);
      expect(textOf(parts)).toBe(isCall ? '' : expectedText({ tokens: 4 }));
      expect(responses.at(-1)?.candidates?.[0]?.finishReason).toBe('STOP');
      // As the SDK for Python reads it: each line is an event.
      const path = `/v1beta/models/${model}:streamGenerateContent?alt=sse`;
      const body = { contents: [{ parts: [{ text: 'hi' }] }], ...config };
      const { text } = await send(`${url}${path}`, { body }).ended;
      const lines = text.split('\n').filter((line) => line !== '');
      expect(lines.filter((line) => !line.startsWith('data: {'))).toEqual([]);
      const empty = lines.filter((line) => line.includes('{"text":""}'));
      // The end of a text is one, too.
      expect(empty.length).toBeGreaterThan(isCall ? 0 : 1);
    },
  );
});

describe('models', () => {
  it('are listed, one by one too, and an unknown one is not found', async () => {
    const listed: (string | undefined)[] = [];
    for await (const { name } of await client.models.list()) listed.push(name);
    expect(listed).toContain('models/openai-text');
    expect(await client.models.get({ model: 'openai-text' })).toMatchObject({
      name: 'models/openai-text',
      displayName: 'openai-text',
    });
    await expect(client.models.get({ model: 'none' })).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining('NOT_FOUND'),
    });
  });

  it('count the tokens of a prompt, by an estimate', async () => {
    const contents = 'hello '.repeat(100);
    const { totalTokens } = await client.models.countTokens({ model: 'openai-text', contents });
    expect(totalTokens).toBeGreaterThan(100);
    expect(totalTokens).toBeLessThan(300);
    const request = { contents: [{ parts: [{ text: contents }] }] };
    const url = `${fleet.url}/v1beta/models/openai-text:countTokens`;
    const answer = await call(url, { body: { generateContentRequest: request } });
    expect(jsonOf(answer)).toMatchObject({ totalTokens });
    for (const [model, body, status] of [
      ['none', request, 404],
      ['openai-text', {}, 400],
    ] as const) {
      const refused = await call(`${fleet.url}/v1beta/models/${model}:countTokens`, { body });
      expect([refused.status, jsonOf(refused)]).toMatchObject([
        status,
        { error: { code: status } },
      ]);
    }
  });
});

describe('a request by its URL', () => {
  const body = { contents: [{ parts: [{ text: 'hello' }] }] };

  it('without alt=sse gets an array of responses', async () => {
    const url = `${fleet.url}/v1beta/models/openai-text:streamGenerateContent`;
    const answer = await call(url, { body });
    expect(jsonOf(answer)).toMatchObject([
      { candidates: [{ content: { parts: [{ text: expectedText({ tokens: 30 }) }] } }] },
    ]);
  });

  it.each([
    ['a wrong method', 'openai-text:predict', body, 404, 'NOT_FOUND'],
    ['no method', 'openai-text', body, 404, 'NOT_FOUND'],
    ['an unknown model', 'none:generateContent', body, 404, 'NOT_FOUND'],
    ['no contents', 'openai-text:generateContent', {}, 400, 'INVALID_ARGUMENT'],
    [
      'a wrong role',
      'openai-text:generateContent',
      { contents: [{ role: 'x', parts: [{}] }] },
      400,
      'INVALID_ARGUMENT',
    ],
  ] as const)(
    'with %s is an error in Google’s form',
    async (_what, rest, content, status, name) => {
      const answer = await call(`${fleet.url}/v1beta/models/${rest}`, { body: content });
      expect(answer.status).toBe(status);
      expect(jsonOf(answer)).toMatchObject({ error: { code: status, status: name } });
    },
  );

  it.each([
    ['GET', '/v1beta/models/none', 404],
    ['GET', '/v1alpha/files', 404],
    ['POST', '/v1beta/cachedContents', 404],
    ['DELETE', '/v1alpha/models/a', 405],
    ['POST', '/v1beta/models/%zz:generateContent', 400],
  ])(
    '%s %s is an error in Google’s form, without the key of its query',
    async (method, path, status) => {
      const key = 'key-in-the-query';
      const url = `${fleet.url}${path}?key=${key}`;
      const answer = await send(url, { method, ...(method === 'POST' && { body: {} }) }).ended;
      expect(answer.status).toBe(status);
      expect(jsonOf(answer)).toMatchObject({ error: { code: status, status: expect.any(String) } });
      const logs = fleet.ingresses.map(({ stderr }) => stderr()).join('');
      expect(`${answer.text}${logs}`).not.toContain(key);
    },
  );

  it.each(['openai-text', 'openai-tools', 'gemini-tools'])(
    'a stream of %s can be read again behind any event',
    async (model) => {
      const url = `${fleet.url}/v1beta/models/${model}:streamGenerateContent?alt=sse`;
      const headers = {
        'idempotency-key': crypto.randomUUID(),
        'x-millrace-event-ids': 'on',
      };
      const options = { body: { ...body, tools }, headers };
      const first = eventsOf((await send(url, options).ended).text);
      const ids = first.flatMap(({ id }) => (id === undefined ? [] : [id]));
      for (const id of [ids[0], ids[Math.floor(ids.length / 2)], ids.at(-1)]) {
        const place = first.findIndex((event) => event.id === id);
        const again = await send(url, {
          ...options,
          headers: { ...headers, ...(id !== undefined && { 'last-event-id': id }) },
        }).ended;
        expect(eventsOf(again.text)).toEqual(id === undefined ? first : first.slice(place + 1));
      }
    },
  );

  it('is a job by the name of its endpoint, with events in its format', async () => {
    const made = await call(`${fleet.url}/v1/jobs`, {
      body: {
        endpoint: '/v1beta/models:generateContent',
        body: { ...body, model: 'openai-text', stream: true },
      },
    });
    expect(made.status).toBe(202);
    const { id } = jsonOf(made) as { id: string };
    const { events } = await readEvents(fleet.url, id).ended;
    const chunks = events.filter(({ event }) => event === 'chunk');
    expect(chunks).toHaveLength(31);
    expect(JSON.parse(chunks.at(-1)?.data ?? '')).toMatchObject({
      candidates: [{ finishReason: 'STOP' }],
    });
  });
});
