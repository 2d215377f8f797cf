import { randomUUID } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import type { MessageStreamEvent } from '@anthropic-ai/sdk/resources/messages';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedReasoning, expectedText } from '../../apps/simulator/src/index.ts';
import { readEvents, viewJob } from '../kit/api.ts';
import { untimed } from '../kit/client.ts';
import { send } from '../kit/exchange.ts';
import { call, jsonOf } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';

// Anthropic's SDK as a client of /v1/messages, over providers of both formats: whichever of them answers, or continues an
// answer that the other one began, the SDK reads one message.

type Vendor = 'anthropic' | 'openai';
const vendors = ['anthropic', 'openai'] as const;
const other = (vendor: Vendor): Vendor => (vendor === 'openai' ? 'anthropic' : 'openai');
const target = (role: 'primary' | 'backup', vendor: Vendor, model: string, more: object = {}) => ({
  provider: vendor === 'openai' ? role : `${role}-anthropic`,
  model,
  ...more,
});
const alone = (vendor: Vendor, model: string) => ({ targets: [target('primary', vendor, model)] });

/** Aliases of a vendor: one provider alone, or a first one that fails and a second one of each vendor. */
const modelsOf = (vendor: Vendor) => ({
  text: alone(vendor, 'healthy:tokens=30'),
  thoughts: alone(vendor, 'healthy:tokens=10,reasoning=6'),
  tools: alone(vendor, 'tools:calls=2'),
  'cut, same': {
    targets: [
      target('primary', vendor, 'cut:after=40'),
      target('backup', vendor, 'prefill', { prefill: true }),
    ],
  },
  'cut, other': {
    targets: [
      target('primary', vendor, 'cut:after=40'),
      target('backup', other(vendor), 'prefill', { prefill: true }),
    ],
  },
  'cut thoughts': {
    targets: [
      target('primary', vendor, 'cut:after=2,reasoning=6'),
      target('backup', other(vendor), 'healthy:reasoning=6'),
    ],
  },
  broken: alone(vendor, 'error-event:after=5'),
  ...Object.fromEntries(
    [400, 401, 429, 500, 529].map((status) => [
      `status ${status}`,
      alone(vendor, `status:code=${status}`),
    ]),
  ),
});

/** What Anthropic's server tools add to a message, and an event that this version does not know. */
const nativeEvents = [
  {
    type: 'message_start',
    message: {
      id: 'msg_native',
      type: 'message',
      role: 'assistant',
      model: 'claude-native',
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { input_tokens: 9, output_tokens: 1, service_tier: 'standard' },
      container: null,
    },
  },
  {
    type: 'content_block_start',
    index: 0,
    content_block: { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} },
  },
  {
    type: 'content_block_delta',
    index: 0,
    delta: { type: 'input_json_delta', partial_json: '{"query":"x"}' },
  },
  { type: 'content_block_stop', index: 0 },
  {
    type: 'content_block_start',
    index: 1,
    content_block: { type: 'text', text: '', citations: [] },
  },
  { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'Found "it"' } },
  {
    type: 'content_block_delta',
    index: 1,
    delta: { type: 'citations_delta', citation: { type: 'x', cited_text: 'it' } },
  },
  { type: 'content_block_stop', index: 1 },
  {
    type: 'message_delta',
    delta: { stop_reason: 'pause_turn', stop_sequence: null, future: 1 },
    usage: { output_tokens: 7, server_tool_use: { web_search_requests: 1 } },
  },
  { type: 'message_stop' },
];
const nativeStream = nativeEvents
  .map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
  .join('');
const nativeWhole = JSON.stringify({
  id: 'msg_whole',
  type: 'message',
  role: 'assistant',
  model: 'claude-native',
  content: [
    { type: 'future_block', of: 1 },
    { type: 'text', text: 'whole' },
  ],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 3, output_tokens: 1, future: { a: 1 } },
});

let fleet: Fleet;
let raw: RawProvider;
let client: Anthropic;
beforeAll(async () => {
  const models = Object.fromEntries(
    vendors.flatMap((vendor) =>
      Object.entries(modelsOf(vendor)).map(([name, model]) => [`${vendor} ${name}`, model]),
    ),
  );
  raw = await startRawProvider({
    stream: { contentType: 'text/event-stream', body: nativeStream },
    whole: { contentType: 'application/json', body: nativeWhole },
  });
  fleet = await startFleet({
    models: {
      ...models,
      native: { targets: [{ provider: 'raw', model: 'stream' }] },
      'native whole': { targets: [{ provider: 'raw', model: 'whole' }] },
    },
    config: { providers: { raw: { api: 'anthropic', baseUrl: raw.baseUrl } } },
  });
  client = new Anthropic({ baseURL: fleet.url, apiKey: 'none', maxRetries: 0 });
});
afterAll(async () => {
  await fleet.close();
  await raw.close();
});

const asked = (model: string) => ({
  model,
  max_tokens: 4096,
  messages: [{ role: 'user' as const, content: 'hello' }],
});
const weather = {
  name: 'get_weather',
  description: 'the weather',
  input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } },
};

async function stream(model: string, more: object = {}) {
  const events: MessageStreamEvent[] = [];
  const reader = client.messages.stream({ ...asked(model), ...more });
  reader.on('streamEvent', (event) => events.push(event));
  const message = await reader.finalMessage();
  return { events, message };
}

const names = (events: readonly { type: string }[]) =>
  events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1]);

describe.each(vendors)('with a provider of %s', (vendor) => {
  it('a streamed message has one start, its text in one block, and one end', async () => {
    const { events, message } = await stream(`${vendor} text`);
    expect(names(events)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(message).toMatchObject({
      type: 'message',
      role: 'assistant',
      content: [{ type: 'text', text: expectedText({ tokens: 30 }) }],
      stop_reason: 'end_turn',
    });
    expect(message.usage.input_tokens).toBeGreaterThan(0);
    expect(message.usage.output_tokens).toBeGreaterThan(0);
  });

  it('a message that is not streamed has the same content', async () => {
    const { data, response } = await client.messages.create(asked(`${vendor} text`)).withResponse();
    expect(data).toMatchObject({
      type: 'message',
      content: [{ type: 'text', text: expectedText({ tokens: 30 }) }],
      stop_reason: 'end_turn',
    });
    expect(data.usage.output_tokens).toBeGreaterThan(0);
    expect(response.headers.get('request-id')).toMatch(/^req_/);
  });

  it('thoughts come before the text, in a block of their own', async () => {
    const { message } = await stream(`${vendor} thoughts`);
    expect(message.content).toMatchObject([
      { type: 'thinking', thinking: expectedReasoning(6).join('') },
      { type: 'text', text: expectedText({ tokens: 10 }) },
    ]);
  });

  it('tool calls have their inputs, and end the message', async () => {
    const { message } = await stream(`${vendor} tools`, { tools: [weather] });
    const calls = message.content.filter((block) => block.type === 'tool_use');
    expect(message.stop_reason).toBe('tool_use');
    expect(calls.map(({ name }) => name)).toEqual(['get_weather', 'get_weather']);
    expect(calls.map(({ input }) => input)).toEqual([{ city: 'simulated' }, { city: 'simulated' }]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
  });

  it.each(['same', 'other'])(
    'a message that breaks off is continued by a provider of the %s format, in the same block',
    async (which) => {
      const { events, message } = await stream(`${vendor} cut, ${which}`);
      expect(message.content).toMatchObject([{ type: 'text', text: expectedText({ tokens: 60 }) }]);
      expect(events.filter(({ type }) => type === 'message_start')).toHaveLength(1);
      expect(events.filter(({ type }) => type === 'message_delta')).toHaveLength(1);
      expect(message.stop_reason).toBe('end_turn');
    },
  );

  it('thoughts that break off are thought again, and shown once', async () => {
    const { message } = await stream(`${vendor} cut thoughts`);
    expect(message.content).toMatchObject([
      { type: 'thinking', thinking: expectedReasoning(6).join('') },
      { type: 'text', text: expectedText({ tokens: 60 }) },
    ]);
  });

  it.each([
    [400, 400, 'invalid_request_error'],
    [401, 502, 'api_error'],
    [429, 429, 'rate_limit_error'],
    [500, 500, 'api_error'],
    [529, 529, 'overloaded_error'],
  ])('status %i of its provider is an error of status %i, type %s', async (status, seen, type) => {
    const work = client.messages.create(asked(`${vendor} status ${status}`));
    const error: unknown = await work.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      status: seen,
      error: { type: 'error', error: { type }, request_id: expect.stringMatching(/^req_/) },
    });
  });

  it('an answer that nothing can continue ends with an error event', async () => {
    const reader = client.messages.stream(asked(`${vendor} broken`));
    const error: unknown = await reader.finalMessage().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error).toMatchObject({
      error: { type: 'error', error: { type: expect.stringMatching(/^(api|overloaded)_error$/) } },
    });
  });
});

describe('with a provider of its own format', () => {
  it('a request arrives as the client sent it, with its beta features', async () => {
    const body = {
      ...asked('native'),
      system: [{ type: 'text' as const, text: 'be brief', cache_control: { type: 'ephemeral' } }],
      tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 2 }],
      context_management: { edits: [] },
      thinking: { type: 'enabled', budget_tokens: 1024 },
    };
    const headers = { 'anthropic-beta': 'one-2025-01-01,two-2025-01-01' };
    const response = await send(`${fleet.url}/v1/messages?beta=true`, {
      headers,
      body: { ...body, stream: true },
    }).ended;
    expect(response.status).toBe(200);
    const { headers: seen, body: text = '' } = raw.received.at(-1) ?? {};
    expect(JSON.parse(text)).toEqual({ ...body, model: 'stream', stream: true });
    expect(seen?.['anthropic-beta']).toBe('one-2025-01-01,two-2025-01-01');
  });

  it('an answer arrives as the provider sent it', async () => {
    const { text } = await send(`${fleet.url}/v1/messages`, {
      body: { ...asked('native'), stream: true },
    }).ended;
    const events = text
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .map((line) => JSON.parse(line.slice(6)) as object);
    const end = nativeEvents.length - 2;
    expect(events.toSpliced(end, 1)).toEqual(nativeEvents.toSpliced(end, 1));
    expect(events[end]).toMatchObject(nativeEvents[end] ?? {});
    const whole = await call(`${fleet.url}/v1/messages`, { body: asked('native whole') });
    expect(whole.text).toBe(nativeWhole);
  });

  it('a request that only this format can express is refused by others', async () => {
    const tools = [{ type: 'web_search_20250305', name: 'web_search' }];
    const work = client.messages.create({
      ...asked('openai text'),
      tools: tools as unknown as Anthropic.Tool[],
    });
    const error: unknown = await work.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      status: 400,
      error: { error: { type: 'invalid_request_error', param: 'tools.0' } },
    });
  });
});

describe('jobs and WebSockets', () => {
  const body = { ...asked('openai text'), stream: true };
  const expected = { content: [{ type: 'text', text: expectedText({ tokens: 30 }) }] };

  it('a job has events and a result in the format of its endpoint, and is read again from a cursor', async () => {
    const made = await call(`${fleet.url}/v1/jobs`, { body: { endpoint: '/v1/messages', body } });
    expect(made.status).toBe(202);
    const { id } = jsonOf(made) as { id: string };
    const events = (await readEvents(fleet.url, id).ended).events;
    const chunks = events.filter(({ event }) => event === 'chunk');
    const types = chunks.map(({ data }) => (JSON.parse(data) as { type: string }).type);
    expect(types[0]).toBe('message_start');
    expect(types.at(-1)).toBe('message_stop');
    expect(types.filter((type) => type === 'content_block_delta')).toHaveLength(30);
    const view = await viewJob(fleet.url, id);
    expect(view.result).toMatchObject({ type: 'message', ...expected });
    const middle = chunks[12]?.id ?? '';
    const rest = await readEvents(fleet.url, id, { after: middle }).ended;
    const missed = events.slice(events.findIndex((event) => event.id === middle) + 1);
    expect(untimed(rest.events)).toEqual(untimed(missed));
  });

  it('a socket gets the same events', async () => {
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', ref: 'a', endpoint: '/v1/messages', body });
    await socket.next(({ type }) => type === 'done');
    const types = socket.frames
      .filter(({ type }) => type === 'chunk')
      .map(({ data }) => (data as { type: string }).type);
    expect(types[0]).toBe('message_start');
    expect(types.at(-1)).toBe('message_stop');
    await socket.close();
  });
});

describe('bad input', () => {
  it.each([
    [{ model: undefined }, 'model'],
    [{ max_tokens: undefined }, 'max_tokens'],
    [{ max_tokens: -1 }, 'max_tokens'],
    [
      { messages: [{ role: 'user', content: [{ type: 'text', text: 5 }] }] },
      'messages.0.content.0.text',
    ],
    [
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'document', source: { type: 'content', content: [null] } }],
          },
        ],
      },
      'messages.0.content.0.source.content.0',
    ],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ role: 'robot', content: 'x' }] }, 'messages.0.role'],
    [{ messages: [{ role: 'user' }] }, 'messages.0.content'],
    [{ tools: [{ name: 'x' }] }, 'tools.0.input_schema'],
    [{ tool_choice: { type: 'some' } }, 'tool_choice.type'],
  ])('%j is refused, with the member at fault', async (more, param) => {
    const response = await call(`${fleet.url}/v1/messages`, {
      body: { ...asked('openai text'), ...more },
    });
    expect(response.status).toBe(400);
    expect(jsonOf(response)).toMatchObject({
      type: 'error',
      error: { type: 'invalid_request_error', param },
    });
  });

  it('a cursor that lies past the end is refused, not answered with an empty message', async () => {
    const body = { ...asked('openai text'), stream: true };
    const key = { 'idempotency-key': randomUUID() };
    const whole = await send(`${fleet.url}/v1/messages`, {
      headers: { ...key, 'x-millrace-event-ids': 'on' },
      body,
    }).ended;
    const ids = [...whole.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
    const headers = { ...key, 'last-event-id': ids[12] ?? '' };
    const rest = await send(`${fleet.url}/v1/messages`, { headers, body }).ended;
    const at = whole.text.indexOf(`id: ${ids[12]}\n`);
    expect(rest.text).toBe(whole.text.slice(whole.text.indexOf('\n\n', at) + 2));
    const ahead = await call(`${fleet.url}/v1/messages`, {
      headers: { ...key, 'last-event-id': '9-999' },
      body,
    });
    expect([ahead.status, jsonOf(ahead)]).toMatchObject([410, { type: 'error' }]);
  });

  it('numbers that Python writes are read beside long ones', async () => {
    const body =
      '{"model":"openai text","max_tokens":50,"temperature":1.0,"messages":[{"role":"user","content":"1234567890123456"}]}';
    expect(await call(`${fleet.url}/v1/messages`, { body })).toMatchObject({ status: 200 });
  });

  it('an unknown model, a body that is no JSON and an unknown path have errors of this format', async () => {
    const unknown = await call(`${fleet.url}/v1/messages`, { body: asked('none') });
    expect([unknown.status, jsonOf(unknown)]).toMatchObject([
      404,
      { type: 'error', error: { type: 'not_found_error' } },
    ]);
    const broken = await call(`${fleet.url}/v1/messages`, { body: '{' });
    expect([broken.status, jsonOf(broken)]).toMatchObject([
      400,
      { type: 'error', error: { type: 'invalid_request_error' } },
    ]);
    expect(broken.headers['request-id']).toMatch(/^req_/);
    const batches = await call(`${fleet.url}/v1/messages/batches`, { body: {} });
    expect([batches.status, jsonOf(batches)]).toMatchObject([404, { type: 'error' }]);
  });
});

describe('beside messages', () => {
  it('tokens of a request are counted, by estimate', async () => {
    const { max_tokens: _, ...prompt } = asked('openai text');
    const { input_tokens: few } = await client.messages.countTokens(prompt);
    const content = 'hello '.repeat(1000);
    const { input_tokens: many } = await client.messages.countTokens({
      ...prompt,
      messages: [{ role: 'user', content }],
    });
    expect(few).toBeGreaterThan(0);
    expect(many).toBeGreaterThan(few + 500);
    const work = client.messages.countTokens({ ...prompt, model: 'none' });
    await expect(work).rejects.toMatchObject({ status: 404 });
  });

  it('models are listed as its SDK reads them', async () => {
    const page = await client.models.list();
    expect(page.data.map(({ id }) => id)).toContain('openai text');
    expect(await client.models.retrieve('native')).toMatchObject({ type: 'model', id: 'native' });
  });
});
