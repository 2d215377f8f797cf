import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, eventsOf, readAll } from './ask.ts';
import type { Simulator } from './index.ts';
import {
  EXPECTED_REFUSAL,
  expectedArguments,
  expectedReasoning,
  expectedText,
  startSimulator,
} from './index.ts';

let simulator: Simulator;
let client: OpenAI;
beforeAll(async () => {
  simulator = await startSimulator({ name: 'alpha', apiKey: 'sk-test' });
  client = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'sk-test', maxRetries: 0 });
});
afterAll(() => simulator.close());

const tools = [
  { type: 'function' as const, name: 'weather', parameters: { type: 'object' }, strict: false },
];

const post = (body: Record<string, unknown>): Promise<Response> =>
  fetch(`${simulator.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-test' },
    body: JSON.stringify({ input: 'hello', ...body }),
  });

/** Requests a stream and reads it as far as it arrives; events with broken JSON are not in `parsed`. */
async function askResponse(model: string, more: Record<string, unknown> = {}) {
  const response = await post({ model, stream: true, ...more });
  const { raw, broken } = await readAll(response);
  const events = eventsOf(raw);
  const parsed = events.flatMap(({ data }) => {
    try {
      return [JSON.parse(data) as Record<string, unknown> & { type: string }];
    } catch {
      return [];
    }
  });
  const deltas = parsed.filter(({ type }) => type === 'response.output_text.delta');
  const text = deltas.map(({ delta }) => delta).join('');
  return { status: response.status, raw, broken, events, parsed, text };
}

describe('a simulated stream of the Responses API', () => {
  it('has the events of the real API, in its order, under its names and with their numbers', async () => {
    const { parsed, events } = await askResponse('healthy:tokens=2,reasoning=1');
    expect(parsed.map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.reasoning_summary_part.added',
      'response.reasoning_summary_text.delta',
      'response.reasoning_summary_text.done',
      'response.reasoning_summary_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ event }) => event)).toEqual(parsed.map(({ type }) => type));
    expect(parsed.map((event) => event['sequence_number'])).toEqual([...parsed.keys()]);
  });

  it('is assembled by the official openai package', async () => {
    const model = 'healthy:tokens=25,unicode=1,reasoning=3,pace=1';
    const answer = await client.responses.stream({ model, input: 'hello' }).finalResponse();
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^resp_sim_/),
      status: 'completed',
      model,
      output_text: expectedText({ tokens: 25, unicode: 1 }),
      output: [
        { type: 'reasoning', summary: [{ text: expectedReasoning(3).join('') }] },
        { type: 'message' },
      ],
      usage: { input_tokens: 5, output_tokens: 28, output_tokens_details: { reasoning_tokens: 3 } },
    });
    const called = await client.responses
      .stream({ model: 'tools:calls=2', input: 'hello', tools })
      .finalResponse();
    expect(called.output).toMatchObject(
      [0, 1].map((call) => ({
        type: 'function_call',
        name: 'weather',
        arguments: expectedArguments(call, 8),
      })),
    );
  });

  it.each(['eol=crlf', 'vendor=1', 'bytes=5,comments=1,nospace=1', 'pace=1'])(
    'is the same text on the wire with %s',
    async (keys) => {
      const { text, parsed } = await askResponse(`healthy:tokens=14,unicode=1,${keys}`);
      expect(text).toBe(expectedText({ tokens: 14, unicode: 1 }));
      expect(parsed.at(-1)?.type).toBe('response.completed');
    },
  );

  it('is the same as a whole response, whatever its end', async () => {
    for (const model of [
      'healthy:tokens=4',
      'length:tokens=4',
      'content-filter-finish',
      'refusal',
      'tools',
    ]) {
      const streamed = (await askResponse(model, { tools })).parsed.at(-1)?.['response'];
      const whole = (await (await post({ model, tools })).json()) as Record<string, unknown>;
      const withoutIds = (value: unknown) =>
        JSON.parse(JSON.stringify(value).replaceAll(/_sim_\d+/g, '')) as unknown;
      expect({ ...Object(withoutIds(streamed)), created_at: 0 }).toEqual({
        ...Object(withoutIds(whole)),
        created_at: 0,
      });
    }
    const refusal = await client.responses.create({ model: 'refusal', input: 'hello' });
    expect(refusal.output).toMatchObject([{ content: [{ refusal: EXPECTED_REFUSAL }] }]);
    const short = await client.responses.create({
      model: 'healthy:tokens=40',
      input: [{ role: 'user', content: 'hello' }],
      max_output_tokens: 20,
    });
    expect(short).toMatchObject({
      output_text: expectedText({ tokens: 20 }),
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
    });
  });

  it('is JSON by the schema that the request demands, and text once a tool has its result', async () => {
    const schema = {
      type: 'object',
      properties: { unit: { enum: ['celsius'] } },
      required: ['unit'],
    };
    const format = { type: 'json_schema', name: 'x', schema };
    const { text } = await askResponse('healthy', { text: { format } });
    expect(JSON.parse(text)).toEqual({ unit: 'celsius' });
    const input = [
      { role: 'user', content: 'hello' },
      { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{}' },
      { type: 'function_call_output', call_id: 'call_1', output: 'sunny' },
    ];
    const after = await askResponse('tools:tokens=3', { tools, input });
    expect(after.text).toBe(expectedText({ tokens: 3 }));
  });
});

describe('faults of the simulated Responses API', () => {
  it('cuts the socket after exactly 40 tokens, without an end', async () => {
    for (const model of ['s08', 'cut:pace=1,how=reset', 'cut:byte=60']) {
      const { text, broken, parsed } = await askResponse(model);
      expect([text, broken]).toEqual([expectedText({ tokens: 40 }), true]);
      expect(parsed.at(-1)?.type).toBe('response.output_text.delta');
    }
  });

  it('has errors of all three forms in mid-answer', async () => {
    const message = expect.stringContaining('The server had an error') as string;
    const last = async (model: string) => (await askResponse(model)).parsed.at(-1);
    expect(await last('error-event:after=4')).toMatchObject({ type: 'error' });
    expect(await last('error-in-chunk:after=4,done=0')).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'server_error', message } },
    });
    const stream = client.responses.stream({ model: 'error-event:after=4', input: 'hello' });
    await expect(stream.finalResponse()).rejects.toBeInstanceOf(OpenAI.APIError);
  });

  it('hides a stall behind keep-alive events, and has an event that breaks off', async () => {
    const stalled = await askResponse('stall-with-comments:after=2,every=10,silence=50');
    expect(stalled.parsed.filter(({ type }) => type === 'keepalive')).toHaveLength(5);
    expect(stalled.broken).toBe(true);
    const malformed = await askResponse('s10');
    expect(malformed.events.length - malformed.parsed.length).toBe(1);
    expect(malformed.text).toBe(expectedText({ tokens: 60 }));
  });

  it('answers with the errors of the other API of OpenAI', async () => {
    const create = (model: string) =>
      client.responses.create({ model, input: 'hello' }).asResponse();
    await expect(create('s02')).rejects.toBeInstanceOf(OpenAI.RateLimitError);
    await expect(create('s12')).rejects.toMatchObject({ code: 'context_length_exceeded' });
    await expect(create('gpt-5')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const wrong = await post({ model: 's05' }).catch((error: Error) => error.message);
    expect(wrong).toBe('fetch failed');
  });

  it.each([
    [{ messages: [] }, 'messages', 'unsupported_parameter'],
    [{ n: 1 }, 'n', 'unsupported_parameter'],
    [
      { stream_options: { include_usage: true } },
      'stream_options.include_usage',
      'unknown_parameter',
    ],
    [{ max_output_tokens: 1 }, 'max_output_tokens', 'integer_below_min_value'],
    [{ input: undefined }, 'input', 'missing_required_parameter'],
    [{ model: 5 }, 'model', 'missing_required_parameter'],
    [
      { input: [{ type: 'function_call', call_id: 'x'.repeat(65) }] },
      'input[0].call_id',
      'string_above_max_length',
    ],
    [{ input: [{ type: 'function_call_output', call_id: 'x' }] }, 'input', null],
    [
      { tools: [{ type: 'function', function: {} }] },
      'tools[0].name',
      'missing_required_parameter',
    ],
  ])('refuses %j', async (body, param, code) => {
    const response = await post({ model: 'healthy', ...body });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { param, code } },
    ]);
  });
});

it('says the text that the other formats say', async () => {
  await using open = await startSimulator();
  const model = 'healthy:tokens=50,seed=3,unicode=1,quotes=1';
  const { text } = await askResponse(model);
  expect(text).toBe((await ask(open.url, model)).text);
});
