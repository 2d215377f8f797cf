import OpenAI from 'openai';
import type {
  ChatCompletionChunk,
  ChatCompletionCreateParamsStreaming,
} from 'openai/resources/chat/completions';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import type { Redis } from '@millrace/shared/store/redis';
import { aliases, chat, complete, expectClosed, upstreamOf } from '../kit/api.ts';
import { eventsOf, isTerminated } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedArguments, expectedText } from '../../apps/simulator/src/index.ts';

const short = 'healthy:tokens=30';
const tools = 'tools:calls=3';
/** Silent for longer than `keepAlive` between two tokens, and while its tool calls are held. */
const slow = 'healthy:tokens=4,pace=200';
const slowTools = 'tools:calls=1,words=4,pace=60';
const long = (seed: number) => `healthy:tokens=5000,pace=10,seed=${seed}`;
const statuses = [400, 401, 404, 429, 500];
/** One that says when to come back is waited for, which takes as long as it says. */
const failing = (status: number) =>
  status === 429 ? 'status:code=429,retryAfterMs=20' : `status:code=${status}`;
const comeBackLater = 'status:code=429,retryAfter=7';

let fleet: Fleet;
let redis: Redis;
let client: OpenAI;
beforeAll(async () => {
  fleet = await startFleet({
    models: {
      ...aliases(
        short,
        tools,
        slow,
        slowTools,
        'silent',
        ...statuses.map(failing),
        comeBackLater,
        'error-event:after=5',
      ),
      ...aliases(...[1, 2, 3, 4, 5].map(long)),
      described: {
        targets: ['primary', 'backup'].map((provider) => ({
          provider,
          model: 'healthy',
          price: { input: 2.5, output: 10 },
          capabilities: {
            contextWindow: 1000,
            maxOutputTokens: 100,
            tools: true,
            input: ['text'],
            output: ['text'],
            serves: ['embeddings'],
          },
        })),
      },
    },
    // One request at a time, so that a second one is queued.
    config: { limits: { workerConcurrency: 1 } },
  });
  redis = fleet.redis.connect();
  client = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => fleet.close());

const messages = [{ role: 'user' as const, content: 'hello' }];

async function gather(stream: AsyncIterable<ChatCompletionChunk>): Promise<ChatCompletionChunk[]> {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const thrownBy = (work: PromiseLike<unknown>): PromiseLike<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );

const textOf = (chunks: ChatCompletionChunk[], choice = 0) =>
  chunks
    .flatMap(({ choices }) => choices)
    .filter(({ index }) => index === choice)
    .map(({ delta }) => delta.content ?? '')
    .join('');

describe('a stream', () => {
  it('brings the whole text under one id, time and model, with one role', async () => {
    const chunks = await gather(
      await client.chat.completions.create({ model: short, messages, stream: true }),
    );
    expect(textOf(chunks)).toBe(expectedText({ tokens: 30 }));
    const identities = chunks.map(({ id, created, model }) => `${id} ${created} ${model}`);
    expect(new Set(identities).size).toBe(1);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    expect(choices.filter(({ delta }) => delta.role !== undefined)).toHaveLength(1);
    expect(choices.map((choice) => choice.finish_reason).filter(Boolean)).toEqual(['stop']);
  });

  it('brings usage only to who asks for it', async () => {
    const ask = (more: { stream_options?: { include_usage: boolean } }) =>
      client.chat.completions.create({ model: short, messages, stream: true, ...more });
    const without = [
      await gather(await ask({})),
      await gather(await ask({ stream_options: { include_usage: false } })),
    ];
    for (const chunks of without) {
      expect(chunks.filter(({ usage }) => usage)).toEqual([]);
      expect(chunks.filter(({ choices }) => choices.length === 0)).toEqual([]);
    }
    const asked = await gather(await ask({ stream_options: { include_usage: true } }));
    expect(asked.filter(({ usage }) => usage)).toHaveLength(1);
    expect(asked.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 30 } });
  });

  it('names the request, who serves it and how often it was tried', async () => {
    const { response, data } = await client.chat.completions
      .create({ model: short, messages, stream: true })
      .withResponse();
    expect(response.headers.get('x-request-id')).toMatch(/^req_0_/);
    expect(response.headers.get('x-millrace-served-by')).toBe(`primary/${short}`);
    expect(response.headers.get('x-millrace-attempts')).toBe('1');
    await gather(data);
  });

  it('is put together by the stream helpers', async () => {
    const stream = client.chat.completions.stream({
      model: short,
      messages,
      stream_options: { include_usage: true },
    });
    let told = '';
    stream.on('content', (delta) => {
      told += delta;
    });
    const answer = await stream.finalChatCompletion();
    expect(told).toBe(expectedText({ tokens: 30 }));
    expect(answer.choices[0]?.message.content).toBe(told);
    expect(answer.usage?.completion_tokens).toBe(30);
  });

  it('brings parallel tool calls', async () => {
    const stream = client.chat.completions.stream({
      model: tools,
      messages,
      tools: ['weather', 'news'].map((name) => ({
        type: 'function',
        function: { name, parameters: {} },
      })),
    });
    const [choice] = (await stream.finalChatCompletion()).choices;
    const calls = choice?.message.tool_calls?.map((call) =>
      call.type === 'function' ? call.function : undefined,
    );
    expect(calls?.map((call) => call?.name)).toEqual(['weather', 'news', 'weather']);
    expect(calls?.map((call) => call?.arguments)).toEqual(
      [0, 1, 2].map((call) => expectedArguments(call, 8)),
    );
    expect(new Set(choice?.message.tool_calls?.map(({ id }) => id)).size).toBe(3);
    expect(choice?.finish_reason).toBe('tool_calls');
  });

  it('brings two choices', async () => {
    const chunks = await gather(
      await client.chat.completions.create({ model: short, messages, n: 2, stream: true }),
    );
    expect(textOf(chunks, 0)).toBe(expectedText({ tokens: 30 }));
    expect(textOf(chunks, 1)).toBe(expectedText({ tokens: 30, choice: 1 }));
  });
});

describe('a stream with pauses that are longer than the keep-alive', () => {
  let url: string;
  let patient: OpenAI;
  beforeAll(async () => {
    await fleet.reconfigure({ limits: { workerConcurrency: 1, keepAlive: '100ms' } });
    ({ url } = await fleet.addIngress());
    patient = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  it.each([
    [slow, 'off'],
    [slowTools, 'off'],
    [slow, 'on'],
    [slowTools, 'on'],
  ])('goes on to its end: %s, with event ids %s', async (model, ids) => {
    const body = chat(model, {
      stream: true,
      tools: [{ type: 'function', function: { name: 'weather', parameters: {} } }],
    });
    const headers = { 'x-millrace-event-ids': ids };
    const chunks = await gather(
      await patient.chat.completions.create(body as ChatCompletionCreateParamsStreaming, {
        headers,
      }),
    );
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toMatch(/^(stop|tool_calls)$/);
    // As the SDKs of other languages would read it.
    const { text } = await complete(url, body, headers).ended;
    expect(isTerminated(eventsOf(text))).toBe(true);
    expect(text).toMatch(/^: keep-alive\n[^\n]/m);
    expect(text).not.toMatch(/^: keep-alive\n\n/m);
    expect(/^id: /m.test(text)).toBe(ids === 'on');
  });
});

describe('an answer without stream', () => {
  it('is whole, with usage, two choices and logprobs', async () => {
    const answer = await client.chat.completions.create({
      model: short,
      messages,
      n: 2,
      logprobs: true,
    });
    expect(answer.choices.map(({ message }) => message.content)).toEqual([
      expectedText({ tokens: 30 }),
      expectedText({ tokens: 30, choice: 1 }),
    ]);
    expect(answer.choices[0]?.logprobs?.content?.[2]?.token).toBe(' a');
    expect(answer.usage?.completion_tokens).toBe(60);
    expect(answer._request_id).toMatch(/^req_0_/);
  });

  it('has tool calls', async () => {
    const answer = await client.chat.completions.create({
      model: tools,
      messages,
      tools: [{ type: 'function', function: { name: 'weather', parameters: {} } }],
    });
    expect(answer.choices[0]?.message.tool_calls).toHaveLength(3);
  });
});

describe('a client that goes away', () => {
  it('closes the upstream call in the middle of a stream', async () => {
    const controller = new AbortController();
    const stream = await client.chat.completions.create(
      { model: long(1), messages, stream: true },
      { signal: controller.signal },
    );
    const upstream = await upstreamOf(fleet.primary, long(1));
    let left = 0;
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      left = Date.now();
      controller.abort();
    }
    await expectClosed(fleet.primary, upstream, left);
  });

  it('closes it with the stream helper, too', async () => {
    const stream = client.chat.completions.stream({ model: long(2), messages });
    const failure = thrownBy(stream.done());
    await stream.emitted('content');
    const upstream = await upstreamOf(fleet.primary, long(2));
    const left = Date.now();
    stream.abort();
    await expectClosed(fleet.primary, upstream, left);
    expect(await failure).toBeInstanceOf(OpenAI.APIUserAbortError);
  });

  it('closes it before the answer without stream has come', async () => {
    const controller = new AbortController();
    const answer = client.chat.completions.create(
      { model: long(3), messages },
      { signal: controller.signal },
    );
    const failure = thrownBy(answer);
    const upstream = await upstreamOf(fleet.primary, long(3));
    const left = Date.now();
    controller.abort();
    expect(await failure).toBeInstanceOf(OpenAI.APIUserAbortError);
    await expectClosed(fleet.primary, upstream, left);
  });

  it('closes it when its own time is over', async () => {
    const answer = client.chat.completions.create(
      { model: 'silent', messages, stream: true },
      { timeout: 500 },
    );
    const failure = thrownBy(answer);
    const upstream = await upstreamOf(fleet.primary, 'silent');
    expect(await failure).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await expectClosed(fleet.primary, upstream, Date.now());
  });

  it('takes its request out of the queue', async () => {
    const waiting = () => redis.zcard(`${keyspace().tag(0)}:${queueName}:prioritized`);
    const running = new AbortController();
    const stream = await client.chat.completions.create(
      { model: long(4), messages, stream: true },
      { signal: running.signal },
    );
    const queued = new AbortController();
    const answer = client.chat.completions.create(
      { model: long(5), messages, stream: true },
      { signal: queued.signal },
    );
    const failure = thrownBy(answer);
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { interval: 10 });
    queued.abort();
    expect(await failure).toBeInstanceOf(OpenAI.APIUserAbortError);
    await vi.waitFor(async () => expect(await waiting()).toBe(0), { interval: 10 });
    running.abort();
    await gather(stream);
    // The next one has its turn, and the queued one never had.
    await client.chat.completions.create({ model: short, messages });
    expect(fleet.primary.requests.filter(({ model }) => model === long(5))).toEqual([]);
  });
});

describe("the provider's errors", () => {
  const classes = {
    400: OpenAI.BadRequestError,
    429: OpenAI.RateLimitError,
    500: OpenAI.InternalServerError,
  };

  it.each(Object.entries(classes))('of status %s come as the SDK names them', async (key, type) => {
    const status = Number(key);
    for (const stream of [true, false]) {
      const error = await thrownBy(
        client.chat.completions.create({ model: failing(status), messages, stream }),
      );
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject({ status, requestID: expect.stringMatching(/^req_0_/) });
      expect((error as Error).message).toContain('(simulated)');
    }
  });

  it.each([401, 404])(
    'of status %i are the operator’s, and no fault of the key or model asked for',
    async (status) => {
      for (const stream of [true, false]) {
        const error = await thrownBy(
          client.chat.completions.create({ model: failing(status), messages, stream }),
        );
        expect(error).toBeInstanceOf(OpenAI.InternalServerError);
        expect(error).toMatchObject({ status: 502, type: 'upstream_error' });
        expect((error as Error).message).not.toContain('(simulated)');
      }
    },
  );

  it('keep their code, their type and Retry-After', async () => {
    const ask = client.chat.completions.create({ model: comeBackLater, messages, stream: true });
    const error = await thrownBy(ask);
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', type: 'requests', param: null });
    expect((error as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe('7');
  });

  it('are thrown in the middle of a stream, behind what came before', async () => {
    const stream = await client.chat.completions.create({
      model: 'error-event:after=5',
      messages,
      stream: true,
    });
    let text = '';
    const read = async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    };
    await expect(read()).rejects.toMatchObject({ code: 'upstream_failed_mid_stream' });
    expect(text).toBe(expectedText({ tokens: 5 }));
  });
});

describe('the list of models', () => {
  it('has the aliases, one by one too', async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toContain(short);
    expect(await client.models.retrieve(short)).toMatchObject({ id: short, object: 'model' });
  });

  it('has what the config says of a model, and nothing that is not known', async () => {
    const { created, ...model } = await client.models.retrieve('described');
    expect(created).toBeGreaterThan(0);
    expect(model).toEqual({
      id: 'described',
      object: 'model',
      owned_by: 'millrace',
      context_length: 1000,
      architecture: {
        modality: 'text->text',
        input_modalities: ['text'],
        output_modalities: ['text'],
      },
      top_provider: { context_length: 1000, max_completion_tokens: 100 },
      pricing: { prompt: '0.0000025', completion: '0.00001', input_cache_read: '0.0000025' },
      max_output_tokens: 100,
      supports_function_calling: true,
      supports_vision: false,
      supported_endpoints: ['/v1/embeddings', '/v1beta/models:embedContent'],
    });
  });

  it('answers what is not in it with the same error everywhere', async () => {
    const missing = { status: 404, code: 'model_not_found', param: 'model' };
    await expect(client.models.retrieve('gpt-0')).rejects.toMatchObject(missing);
    const create = client.chat.completions.create({ model: 'gpt-0', messages });
    await expect(create).rejects.toMatchObject(missing);
    await expect(create).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});
