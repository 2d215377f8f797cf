import OpenAI from 'openai';
import type { ResponseStreamEvent } from 'openai/resources/responses/responses';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectedReasoning, expectedText } from '../../apps/simulator/src/index.ts';
import { readEvents, viewJob } from '../kit/api.ts';
import { call, jsonOf } from '../kit/http.ts';
import { startFleet } from '../kit/fleet.ts';
import { startRawProvider } from '../kit/raw-provider.ts';
import type { RawProvider } from '../kit/raw-provider.ts';
import type { Fleet } from '../kit/fleet.ts';

// OpenAI's SDK as a client of /v1/responses, over providers of the same and of another format: whichever of them answers, or
// continues an answer that the other one began, the SDK reads one response.

type Vendor = 'responses' | 'openai';
const vendors = ['responses', 'openai'] as const;
const other = (vendor: Vendor): Vendor => (vendor === 'openai' ? 'responses' : 'openai');
const target = (role: 'primary' | 'backup', vendor: Vendor, model: string, more: object = {}) => ({
  provider: vendor === 'openai' ? role : `${role}-${vendor}`,
  model,
  ...more,
});
const alone = (vendor: Vendor, model: string) => ({ targets: [target('primary', vendor, model)] });
const cutBy = (vendor: Vendor, next: Vendor) => ({
  targets: [
    target('primary', vendor, 'cut:after=40'),
    target('backup', next, 'prefill', { prefill: true }),
  ],
});

/** Aliases of a vendor: one provider alone, or a first one that fails and a second one of each vendor. */
const modelsOf = (vendor: Vendor) => ({
  text: alone(vendor, 'healthy:tokens=30'),
  slow: alone(vendor, 'healthy:tokens=60,pace=30'),
  thoughts: alone(vendor, 'healthy:tokens=10,reasoning=6'),
  tools: alone(vendor, 'tools:calls=2,reasoning=3'),
  refusal: alone(vendor, 'refusal'),
  length: alone(vendor, 'length:tokens=5'),
  'cut, same': cutBy(vendor, vendor),
  'cut, other': cutBy(vendor, other(vendor)),
  broken: alone(vendor, 'error-event:after=5'),
  ...Object.fromEntries(
    [400, 429, 500].map((status) => [`status ${status}`, alone(vendor, `status:code=${status}`)]),
  ),
});

/** The events of a provider that runs a tool itself, and has members that no other one has. */
const found = 'Sunny, says the search that this provider ran for this answer.';
const searched = (() => {
  const search = { id: 'ws_1', type: 'web_search_call', status: 'completed', vendor: 1 };
  const part = { type: 'output_text', text: found, annotations: [{ type: 'vendor_note', at: 3 }] };
  const said = { id: 'msg_1', type: 'message', role: 'assistant', status: 'completed' };
  const inText = { item_id: said.id, output_index: 1, content_index: 0 };
  const head = { id: 'resp_own', object: 'response', model: 'm', created_at: 1, vendor: 'x' };
  const usage = { input_tokens: 3, output_tokens: 12, total_tokens: 15 };
  const output = [search, { ...said, content: [part] }];
  return [
    { type: 'response.created', response: { ...head, status: 'in_progress', output: [] } },
    {
      type: 'response.output_item.added',
      output_index: 0,
      item: { ...search, status: 'searching' },
    },
    { type: 'response.output_item.done', output_index: 0, item: search },
    { type: 'response.output_item.added', output_index: 1, item: { ...said, content: [] } },
    {
      type: 'response.content_part.added',
      ...inText,
      part: { ...part, text: '', annotations: [] },
    },
    ...(found.match(/\S+\s*/g) ?? []).map((delta) => ({
      type: 'response.output_text.delta',
      ...inText,
      delta,
    })),
    { type: 'response.output_text.done', ...inText, text: found },
    { type: 'response.content_part.done', ...inText, part },
    { type: 'response.output_item.done', output_index: 1, item: output[1] },
    { type: 'response.completed', response: { ...head, status: 'completed', output, usage } },
  ];
})();
/** Members of a response that are this server's own. */
const ownMembers = new Set(['id', 'background', 'store', 'instructions', 'tools']);
const withoutOwn = (response: object) =>
  Object.fromEntries(Object.entries(response).filter(([name]) => !ownMembers.has(name)));
const wireOf = (events: readonly { type: string }[]) =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');

let raw: RawProvider;
let fleet: Fleet;
let client: OpenAI;
beforeAll(async () => {
  const contentType = 'text/event-stream';
  raw = await startRawProvider({
    own: { contentType, body: wireOf(searched) },
    cut: { contentType, body: wireOf(searched.slice(0, 9)) },
    // Says the same, and runs no tool.
    again: { contentType, body: wireOf([...searched.slice(0, 1), ...searched.slice(3)]) },
  });
  const models = Object.fromEntries(
    vendors.flatMap((vendor) =>
      Object.entries(modelsOf(vendor)).map(([name, model]) => [`${vendor} ${name}`, model]),
    ),
  );
  fleet = await startFleet({
    models: {
      ...models,
      own: { targets: [{ provider: 'raw', model: 'own' }] },
      'own cut': {
        targets: [
          { provider: 'raw', model: 'cut' },
          { provider: 'raw', model: 'again' },
        ],
      },
      'messages text': { targets: [{ provider: 'primary-anthropic', model: 'healthy' }] },
    },
    workers: 2,
    config: {
      providers: { raw: { api: 'openai-responses', baseUrl: raw.baseUrl } },
      keys: ['none', 'other'].map((secret) => ({ id: `key-${secret}`, secret })),
    },
  });
  client = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => Promise.all([fleet.close(), raw.close()]));

const headers = { authorization: 'Bearer none' };

const weather = {
  type: 'function' as const,
  name: 'get_weather',
  description: 'the weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
  strict: false,
};

async function stream(model: string, more: object = {}) {
  const events: ResponseStreamEvent[] = [];
  const reader = client.responses.stream({ model, input: 'hello', ...more });
  reader.on('event', (event) => events.push(event));
  const response = await reader.finalResponse();
  expect(events.map((event) => event.sequence_number)).toEqual([...events.keys()]);
  // Clients build their history in the order in which the items end.
  const ends = events.filter((event) => event.type === 'response.output_item.done');
  expect(ends.map(({ output_index: index }) => index)).toEqual([...ends.keys()]);
  return { events, response };
}

const names = (events: readonly { type: string }[]) =>
  events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1]);

/** The body that a simulated provider got last for a model. */
function lastBody(name: 'primary' | 'backup', model: string): Record<string, unknown> {
  const request = fleet[name].requests.findLast((one) => one.model === model);
  return request?.body as Record<string, unknown>;
}

/** What a provider gets when the results of two calls go back to it. */
const returned = {
  responses: [
    'user',
    'reasoning',
    'function_call',
    'function_call',
    'function_call_output',
    'function_call_output',
  ],
  openai: ['user', 'assistant', 'tool', 'tool'],
};

const kindsIn = ({ input, messages }: Record<string, unknown>) =>
  ((input ?? messages) as { type?: string; role?: string }[]).map(({ type, role }) => type ?? role);

describe.each(vendors)('with a provider of %s', (vendor) => {
  it('a streamed response has one start, its text in one item, one end, and what it repeats of the request', async () => {
    const { events, response } = await stream(`${vendor} text`, {
      instructions: 'Be brief.',
      metadata: { order: '42' },
    });
    expect(names(events)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(response).toMatchObject({
      id: expect.stringMatching(/^resp_\d+_/),
      object: 'response',
      status: 'completed',
      completed_at: expect.toSatisfy((at: number) => Math.abs(at - response.created_at) < 60),
      output_text: expectedText({ tokens: 30 }),
      instructions: 'Be brief.',
      metadata: { order: '42' },
    });
    expect(response.usage?.input_tokens).toBeGreaterThan(0);
    expect(response.usage?.output_tokens).toBe(30);
  });

  it('a response that is not streamed has the same content', async () => {
    const { data, response } = await client.responses
      .create({ model: `${vendor} text`, input: [{ role: 'user', content: 'hello' }] })
      .withResponse();
    expect(data).toMatchObject({
      object: 'response',
      status: 'completed',
      output_text: expectedText({ tokens: 30 }),
    });
    expect(data.usage?.output_tokens).toBe(30);
    expect(data.id.replace('resp_', 'req_')).toBe(response.headers.get('x-request-id'));
  });

  it('reasoning comes before the text, in an item of its own', async () => {
    const { events, response } = await stream(`${vendor} thoughts`);
    const first = (name: string) => events.findIndex(({ type }) => type === name);
    // A client shows that the model has ended to think, and begins to answer.
    expect(first('response.reasoning_summary_text.done')).toBeGreaterThan(0);
    expect(first('response.reasoning_summary_text.done')).toBeLessThan(
      first('response.output_text.delta'),
    );
    expect(response.output).toMatchObject([
      { type: 'reasoning', summary: [{ text: expectedReasoning(6).join('') }] },
      { type: 'message', content: [{ text: expectedText({ tokens: 10 }) }] },
    ]);
  });

  it('tool calls follow their reasoning, and their results get an answer', async () => {
    const { response } = await stream(`${vendor} tools`, { tools: [weather] });
    const calls = response.output.filter((item) => item.type === 'function_call');
    expect(response.output.map(({ type }) => type)).toEqual([
      'reasoning',
      'function_call',
      'function_call',
    ]);
    expect(calls.map((one) => [one.name, one.arguments])).toEqual(
      [0, 1].map(() => ['get_weather', '{"city":"simulated"}']),
    );
    const input = [
      { role: 'user' as const, content: 'hello' },
      ...response.output.map(({ ...item }) => {
        delete (item as { parsed_arguments?: unknown }).parsed_arguments;
        return item;
      }),
      ...calls.map((one) => ({
        type: 'function_call_output' as const,
        call_id: one.call_id,
        output: 'sunny',
      })),
    ];
    const answer = await client.responses.create({
      model: `${vendor} tools`,
      input: input as OpenAI.Responses.ResponseInput,
      tools: [weather],
    });
    expect(answer.output_text).toBe(expectedText({ tokens: 60 }));
    const sent = lastBody('primary', 'tools:calls=2,reasoning=3');
    expect(kindsIn(sent)).toEqual(returned[vendor]);
    // Encrypted reasoning goes back without the id of what no provider has stored.
    expect(JSON.stringify(sent)).not.toContain('"rs_');
  });

  it('a refusal is a part of its own, and a limit ends it incomplete', async () => {
    const { response } = await stream(`${vendor} refusal`);
    expect(response.output).toMatchObject([{ type: 'message', content: [{ type: 'refusal' }] }]);
    const { response: short } = await stream(`${vendor} length`);
    expect(short).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
    });
  });

  it.each(['same', 'other'])(
    'a response that breaks off is continued by a provider of the %s format, in the same item',
    async (which) => {
      const { events, response } = await stream(`${vendor} cut, ${which}`);
      expect(response.output).toMatchObject([
        { type: 'message', content: [{ text: expectedText({ tokens: 60 }) }] },
      ]);
      expect(events.filter(({ type }) => type === 'response.created')).toHaveLength(1);
      expect(events.filter(({ type }) => type === 'response.output_item.added')).toHaveLength(1);
    },
  );

  it.each([
    [400, OpenAI.BadRequestError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
  ])('status %i of its provider is the SDK’s error of that status', async (status, expected) => {
    const work = client.responses.create({ model: `${vendor} status ${status}`, input: 'hello' });
    await expect(work.asResponse()).rejects.toBeInstanceOf(expected);
  });

  it('an answer that nothing can continue ends with an error', async () => {
    const error: unknown = await stream(`${vendor} broken`).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.APIError);
  });
});

describe('with a provider of its own format', () => {
  it('a request arrives as the client sent it, but for its model and what is stored', async () => {
    const body = {
      model: 'responses text',
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'hello' }] },
        { type: 'reasoning', id: 'rs_other', summary: [] },
        { type: 'web_search_call', id: 'ws_1', status: 'completed', future: 1.5 },
      ],
      tools: [{ type: 'web_search', filters: { allowed_domains: ['a.example'] } }],
      reasoning: { effort: 'low', summary: 'auto' },
      future_member: { a: 12345678901234 },
    };
    const answer = await call(`${fleet.url}/v1/responses`, { headers, body });
    expect(answer.status).toBe(200);
    const [user, , search] = body.input;
    expect(lastBody('primary', 'healthy:tokens=30')).toEqual({
      ...body,
      model: 'healthy:tokens=30',
      input: [user, search],
      store: false,
    });
  });

  it('a request that only this format can express is refused by others', async () => {
    const work = client.responses.create({
      model: 'openai text',
      input: 'hello',
      tools: [{ type: 'web_search' }],
    });
    await expect(work.asResponse()).rejects.toMatchObject({ status: 400, param: 'tools[0]' });
  });
});

it('a response whose worker is killed goes on, with its numbers', async () => {
  const reader = client.responses.stream({ model: 'responses slow', input: 'hello' });
  const numbers: number[] = [];
  let killed: Promise<void> | undefined;
  reader.on('event', ({ sequence_number: number }) => {
    numbers.push(number);
    if (number === 15)
      killed = fleet
        .killWorkers()
        .then(() => fleet.addWorker())
        .then(() => undefined);
  });
  const response = await reader.finalResponse();
  await killed;
  expect(response.output_text).toBe(expectedText({ tokens: 60 }));
  expect(numbers).toEqual([...numbers.keys()]);
});

it('tools in a namespace are called by their own names, beside tools that a provider would run', async () => {
  const tools = [
    { type: 'namespace', name: 'city', description: 'about a city', tools: [weather] },
    { type: 'web_search' },
  ];
  const { response } = await stream('openai tools', { tools });
  const calls = response.output.filter((item) => item.type === 'function_call');
  expect(calls).toMatchObject([0, 1].map(() => ({ name: 'get_weather', namespace: 'city' })));
  const output = calls.map((one) => ({
    type: 'function_call_output' as const,
    call_id: one.call_id,
    output: 'sunny',
  }));
  const input = [{ role: 'user' as const, content: 'hello' }, ...calls, ...output];
  await call(`${fleet.url}/v1/responses`, {
    headers,
    body: { model: 'openai tools', input, tools },
  });
  const { messages } = lastBody('primary', 'tools:calls=2,reasoning=3') as {
    messages: { tool_calls?: { function: { name: string } }[] }[];
  };
  const names = messages[1]?.tool_calls?.map(({ function: called }) => called.name);
  expect(names).toEqual(['city__get_weather', 'city__get_weather']);
});

describe('a provider with events of its own', () => {
  // Models repeat themselves at this temperature.
  const streamed = async (model: string) => {
    const events: ResponseStreamEvent[] = [];
    const stream = await client.responses.create({
      model,
      input: 'hello',
      temperature: 0,
      stream: true,
    });
    for await (const event of stream) events.push(event);
    return events;
  };
  const plain = ({ sequence_number: _, ...event }: Record<string, unknown>) => {
    const { response } = event as { response?: Record<string, unknown> };
    if (!response) return event;
    return { ...event, response: withoutOwn(response) };
  };
  const asSent = (event: object) => {
    const { logprobs: _, ...rest } = plain(event as Record<string, unknown>) as {
      logprobs?: unknown;
    };
    return rest;
  };

  it('has all of them in the stream, in the stored response, and in the stream that is read again', async () => {
    const events = await streamed('own');
    expect(events.map(asSent)).toEqual(searched.map(asSent));
    expect(events.map(({ sequence_number: number }) => number)).toEqual([...events.keys()]);
    const last = events.at(-1);
    const { id, ...whole } = last?.type === 'response.completed' ? last.response : { id: '' };
    expect(await client.responses.retrieve(id)).toMatchObject(whole);
    const more = await client.responses.retrieve(id, { stream: true, starting_after: 3 });
    const rest: ResponseStreamEvent[] = [];
    for await (const event of more) rest.push(event);
    expect(rest).toEqual(events.slice(4));
  });

  it('is continued by another one in one response, with its items before the seam', async () => {
    const events = await streamed('own cut');
    const deltas = events.filter((event) => event.type === 'response.output_text.delta');
    expect(deltas.map(({ delta }) => delta).join('')).toBe(found);
    expect(events.filter(({ type }) => type === 'response.created')).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({
      type: 'response.completed',
      response: { output: [{ id: 'ws_1' }, { id: 'msg_1', content: [{ text: found }] }] },
    });
  });
});

describe('a response in the background', () => {
  it('is answered at once, and read when it is complete', async () => {
    const made = await client.responses.create({
      model: 'responses text',
      input: 'hello',
      background: true,
    });
    expect(made).toMatchObject({
      status: 'queued',
      completed_at: null,
      background: true,
      output: [],
    });
    await expect
      .poll(async () => (await client.responses.retrieve(made.id)).status)
      .toBe('completed');
    const response = await client.responses.retrieve(made.id);
    expect(response).toMatchObject({ id: made.id, output_text: expectedText({ tokens: 30 }) });
    const translated = await client.responses.create({ model: 'openai text', input: 'hello' });
    for (const one of [translated, await client.responses.retrieve(translated.id)]) {
      expect(one).toMatchObject({
        completed_at: expect.any(Number),
        presence_penalty: 0,
        frequency_penalty: 0,
      });
    }
  });

  it('is streamed again behind any event, while it runs and afterwards', async () => {
    const reader = await client.responses.create({
      model: 'openai slow',
      input: 'hello',
      stream: true,
      background: true,
    });
    const seen: ResponseStreamEvent[] = [];
    for await (const event of reader) {
      seen.push(event);
      if (event.sequence_number === 9) break;
    }
    const id = seen[0]?.type === 'response.created' ? seen[0].response.id : '';
    const rest = async () => {
      const more = await client.responses.retrieve(id, { stream: true, starting_after: 9 });
      const events: ResponseStreamEvent[] = [];
      for await (const event of more) events.push(event);
      return events;
    };
    const live = await rest();
    const all = [...seen, ...live];
    expect(all.map(({ sequence_number: number }) => number)).toEqual([...all.keys()]);
    const deltas = all.filter((event) => event.type === 'response.output_text.delta');
    expect(deltas.map(({ delta }) => delta).join('')).toBe(expectedText({ tokens: 60 }));
    expect(all.at(-1)?.type).toBe('response.completed');
    expect(await rest()).toEqual(live);
    const whole = await client.responses.retrieve(id);
    expect(whole).toMatchObject({ status: 'completed', output_text: expectedText({ tokens: 60 }) });
  });

  it('can be cancelled, and is unknown under any other id', async () => {
    const made = await client.responses.create({
      model: 'responses slow',
      input: 'hello',
      background: true,
    });
    const cancelled = await client.responses.cancel(made.id);
    expect(cancelled).toMatchObject({ id: made.id, status: 'cancelled' });
    for (const id of ['resp_none', made.id.slice(0, -1), made.id.replace('resp_', 'req_')]) {
      await expect(client.responses.retrieve(id).asResponse()).rejects.toMatchObject({
        status: 404,
        type: 'invalid_request_error',
      });
    }
  });
});

describe('a conversation that is compacted', () => {
  it('goes on from its compaction, at a provider that can read it', async () => {
    const model = 'responses text';
    const first = await client.responses.create({ model, input: 'one' });
    const compacted = await client.responses.compact({
      model,
      input: 'two',
      previous_response_id: first.id,
    });
    const words = ['one', expectedText({ tokens: 30 }), 'two'];
    const item = { type: 'compaction', encrypted_content: expect.any(String) };
    expect(compacted).toMatchObject({ object: 'response.compaction' });
    expect(compacted.output.at(-1)).toMatchObject(item);
    expect(compacted.usage).toMatchObject({ output_tokens: 1 });
    const sent = JSON.stringify(fleet.primary.requests.at(-1)?.body);
    for (const text of words) expect(sent).toContain(JSON.stringify(text));

    const next = [
      ...compacted.output,
      { role: 'user', content: 'three' },
    ] as OpenAI.Responses.ResponseInput;
    await client.responses.create({ model, input: next });
    expect(fleet.primary.requests.at(-1)?.body).toMatchObject({ input: next });
    await expect(
      client.responses.create({ model: 'openai text', input: next }),
    ).rejects.toMatchObject({
      status: 400,
      param: 'input[2]',
    });
  });

  it.each([
    ['messages text', {}, { status: 400, code: 'unsupported_value' }],
    [
      'responses text',
      { previous_response_id: 'resp_0_0mh000000abcdef0123456789abcdef01' },
      { status: 404, code: 'previous_response_not_found' },
    ],
    ['responses text', { input: [] }, { status: 400, param: 'input' }],
    ['responses status 429', {}, { status: 429 }],
  ])('is an error for %s with %j', async (model, more, error) => {
    const asked = client.responses.compact({
      model,
      input: 'one',
      ...more,
    });
    await expect(asked).rejects.toMatchObject(error);
  });
});

describe('a response that continues an earlier one', () => {
  const contentsOf = (body: Record<string, unknown>) =>
    ((body['input'] ?? body['messages']) as { role?: string; content: unknown }[]).map(
      ({ role, content }) => [
        role,
        typeof content === 'string' ? content : (content as { text: string }[])[0]?.text,
      ],
    );

  it.each(vendors)('has the conversation so far, with a provider of %s', async (vendor) => {
    const model = `${vendor} text`;
    const said = expectedText({ tokens: 30 });
    const first = await client.responses.create({ model, input: 'one', instructions: 'Be brief.' });
    const { response: second } = await stream(model, {
      input: [{ role: 'user', content: 'two' }],
      previous_response_id: first.id,
    });
    const whole = await client.responses.create({
      model,
      input: 'aside',
      previous_response_id: first.id,
    });
    expect(whole.previous_response_id).toBe(first.id);
    const third = await client.responses.create({
      model,
      input: 'three',
      previous_response_id: second.id,
      background: true,
    });
    expect(third).toMatchObject({ status: 'queued', previous_response_id: second.id });
    expect(second.previous_response_id).toBe(first.id);
    await expect
      .poll(async () => (await client.responses.retrieve(third.id)).status)
      .toBe('completed');
    const body = lastBody('primary', 'healthy:tokens=30');
    expect(contentsOf(body)).toEqual([
      ['user', 'one'],
      ['assistant', said],
      ['user', 'two'],
      ['assistant', said],
      ['user', 'three'],
    ]);
    expect(JSON.stringify(body)).not.toMatch(/previous_response_id|Be brief|"msg_/);
  });

  it.each(vendors)('takes the results of its tools, with a provider of %s', async (vendor) => {
    const model = `${vendor} tools`;
    const asked = await client.responses.create({ model, input: 'hello', tools: [weather] });
    const calls = asked.output.filter((item) => item.type === 'function_call');
    expect(calls).toHaveLength(2);
    await client.responses.create({
      model: `${vendor} text`,
      previous_response_id: asked.id,
      input: calls.map(({ call_id }) => ({
        type: 'function_call_output' as const,
        call_id,
        output: 'sunny',
      })),
    });
    const kinds = kindsIn(lastBody('primary', 'healthy:tokens=30'));
    expect(kinds.with(0, 'user')).toEqual(returned[vendor]);
  });

  it('lists its input, page by page', async () => {
    const model = 'openai text';
    const first = await client.responses.create({ model, input: 'one' });
    const second = await client.responses.create({
      model,
      input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'two' }] }],
      previous_response_id: first.id,
    });
    const texts: unknown[] = [];
    for await (const item of client.responses.inputItems.list(second.id, {
      order: 'asc',
      limit: 2,
    })) {
      expect(item).toMatchObject({ id: expect.stringMatching(/^msg_/), type: 'message' });
      texts.push(item.type === 'message' ? (item.content[0] as { text: string }).text : '');
    }
    expect(texts).toEqual(['one', expectedText({ tokens: 30 }), 'two']);
    const newest = await client.responses.inputItems.list(second.id, { limit: 1 });
    expect(newest).toMatchObject({ has_more: true, data: [{ content: [{ text: 'two' }] }] });
    for (const query of ['limit=0', 'limit=x', 'order=up', 'after=none']) {
      const answer = await call(`${fleet.url}/v1/responses/${second.id}/input_items?${query}`, {
        headers,
      });
      expect(answer.status).toBe(400);
    }
  });

  it('is refused if the earlier one was deleted, not stored, of another key, or has no output', async () => {
    const model = 'openai text';
    const other = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'other', maxRetries: 0 });
    const own = await client.responses.create({ model, input: 'one' });
    const unstored = await client.responses.create({ model, input: 'one', store: false });
    const foreign = await other.responses.create({ model, input: 'one' });
    const deleted = await client.responses.create({
      model: 'openai slow',
      input: 'one',
      background: true,
    });
    await client.responses.delete(deleted.id);
    const ids = [unstored.id, foreign.id, deleted.id, 'resp_none', own.id.replace('resp_', 'req_')];
    for (const id of ids) {
      const asked = client.responses.create({ model, input: 'two', previous_response_id: id });
      await expect(asked).rejects.toMatchObject({
        status: 404,
        code: 'previous_response_not_found',
        param: 'previous_response_id',
      });
    }
    for (const id of [foreign.id, deleted.id]) {
      await expect(client.responses.retrieve(id).asResponse()).rejects.toMatchObject({
        status: 404,
      });
      await expect(client.responses.delete(id)).rejects.toMatchObject({ status: 404 });
    }
    // It can be read, as any stream can be resumed.
    expect(await client.responses.retrieve(unstored.id)).toMatchObject({ status: 'completed' });
    await expect(client.responses.inputItems.list(unstored.id)).rejects.toMatchObject({
      status: 404,
    });
    const running = await client.responses.create({
      model: 'openai slow',
      input: 'one',
      background: true,
    });
    await expect(
      client.responses.create({ model, input: 'two', previous_response_id: running.id }),
    ).rejects.toMatchObject({ status: 400, param: 'previous_response_id' });
    await client.responses.cancel(running.id);
    await expect(
      client.responses.create({ model, input: 'x', previous_response_id: 7 as never }),
    ).rejects.toMatchObject({ status: 400, code: 'invalid_type' });
    await expect(
      client.responses.create({ model, input: 7 as never, previous_response_id: own.id }),
    ).rejects.toMatchObject({ status: 400, param: 'input' });
    expect(await client.responses.retrieve(own.id)).toMatchObject({ status: 'completed' });
  });
});

it('a job has events and a result in the format of its endpoint', async () => {
  const body = { model: 'openai text', input: 'hello', stream: true };
  const made = await call(`${fleet.url}/v1/jobs`, {
    headers,
    body: { endpoint: '/v1/responses', body },
  });
  const { id } = jsonOf(made) as { id: string };
  const { events } = await readEvents(fleet.url, id, { headers }).ended;
  const types = events
    .filter(({ event }) => event === 'chunk')
    .map(({ data }) => (JSON.parse(data) as { type: string }).type);
  expect([types[0], types.at(-1)]).toEqual(['response.created', 'response.completed']);
  const { result } = await viewJob(fleet.url, id, headers);
  expect(result).toMatchObject({
    object: 'response',
    output: [{ type: 'message', content: [{ text: expectedText({ tokens: 30 }) }] }],
  });
});

it.each([
  [{ model: undefined }, 'model'],
  [{ input: undefined }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: [{ role: 'robot', content: 'x' }] }, 'input[0].role'],
  [{ input: [{ role: 'user' }] }, 'input[0].content'],
  [{ input: [{ type: 'function_call_output', output: 'x' }] }, 'input[0].call_id'],
  [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
  [{ max_output_tokens: 'many' }, 'max_output_tokens'],
  [{ conversation: 'conv_1' }, 'conversation'],
  [{ background: 'yes' }, 'background'],
])('%j is refused, with the member at fault', async (more, param) => {
  const body = { model: 'openai text', input: 'hello', ...more };
  const response = await call(`${fleet.url}/v1/responses`, { headers, body });
  expect([response.status, jsonOf(response)]).toMatchObject([
    400,
    { error: { type: 'invalid_request_error', param } },
  ]);
});
