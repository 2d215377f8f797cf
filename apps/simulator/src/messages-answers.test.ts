import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from './ask.ts';
import type { MessagesEvent } from './ask-messages.ts';
import { askMessage, postMessage } from './ask-messages.ts';
import type { Simulator } from './index.ts';
import {
  EXPECTED_REFUSAL,
  expectedArguments,
  expectedReasoning,
  expectedText,
  startSimulator,
} from './index.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ name: 'alpha' });
});
afterAll(() => simulator.close());

const tools = [{ name: 'weather', input_schema: { type: 'object' } }];
const names = (events: readonly { event: string | undefined }[]) =>
  events.map(({ event }) => event);
const blocks = (events: readonly MessagesEvent[]) =>
  events.flatMap(({ content_block: block }) => (block === undefined ? [] : [block.type]));

describe('a healthy stream of Anthropic messages', () => {
  it('has the events of the real API, in its order and under its names', async () => {
    const got = await askMessage(simulator.url, 'healthy:tokens=2');
    expect(names(got.events)).toEqual([
      'message_start',
      'content_block_start',
      'ping',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(got.parsed.map(({ type }) => type)).toEqual(names(got.events));
    expect(got.parsed[0]?.message).toMatchObject({
      id: expect.stringMatching(/^msg_sim_\d{9}$/u),
      type: 'message',
      role: 'assistant',
      model: 'healthy:tokens=2',
      content: [],
      stop_reason: null,
      usage: { input_tokens: 5, output_tokens: 1 },
    });
    expect(got.parsed.at(-2)).toMatchObject({
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { input_tokens: 5, output_tokens: 2 },
    });
    expect(got.headers.get('request-id')).toMatch(/^req_sim_\d+$/u);
    expect(got.headers.get('x-simulated-provider')).toBe('alpha');
  });

  it('says the text that the other format says', async () => {
    const model = 'healthy:tokens=50,seed=3,unicode=1,quotes=1';
    const [got, other] = await Promise.all([
      askMessage(simulator.url, model),
      ask(simulator.url, model),
    ]);
    expect(got).toMatchObject({ status: 200, stop: 'end_turn', terminated: true, broken: false });
    expect(got.text).toBe(expectedText({ tokens: 50, seed: 3, unicode: 1, quotes: 1 }));
    expect(got.text).toBe(other.text);
  });

  it.each([
    'eol=crlf',
    'eol=cr',
    'nospace=1',
    'comments=1',
    'vendor=1',
    'bytes=1',
    'pace=1,role=1,first=5',
    'eol=crlf,nospace=1,comments=1,vendor=1,bytes=5',
  ])('is the same text on the wire with %s', async (keys) => {
    const got = await askMessage(simulator.url, `healthy:tokens=14,unicode=1,${keys}`);
    expect(got.text).toBe(expectedText({ tokens: 14, unicode: 1 }));
    expect(got).toMatchObject({ stop: 'end_turn', terminated: true, broken: false });
    expect(got.raw.includes('9007199254740993')).toBe(keys.includes('vendor'));
  });

  it('stops at max_tokens, refuses, and has one choice only', async () => {
    const short = await askMessage(simulator.url, 'healthy:tokens=30,n=3', { max_tokens: 12 });
    expect(short).toMatchObject({ text: expectedText({ tokens: 12 }), stop: 'max_tokens' });
    expect((await askMessage(simulator.url, 'length')).stop).toBe('max_tokens');
    const refusal = await askMessage(simulator.url, 'refusal');
    expect(refusal).toMatchObject({ text: EXPECTED_REFUSAL, stop: 'refusal' });
    expect((await askMessage(simulator.url, 'content-filter-finish')).stop).toBe('refusal');
  });

  it('thinks in a signed block of its own, then speaks in the next', async () => {
    const got = await askMessage(simulator.url, 'healthy:tokens=3,reasoning=4');
    expect(blocks(got.parsed)).toEqual(['thinking', 'text']);
    const first = got.parsed.filter(({ index, delta }) => index === 0 && delta !== undefined);
    expect(first.map(({ delta }) => delta?.thinking).slice(0, -1)).toEqual(expectedReasoning(4));
    expect(first.at(-1)?.delta).toEqual({
      type: 'signature_delta',
      signature: expect.stringMatching(/^[\w+/]+=*$/u),
    });
    expect(got.text).toBe(expectedText({ tokens: 3 }));
    expect(got.parsed.at(-2)?.usage).toMatchObject({ output_tokens: 7 });
  });
});

describe('other answers in Anthropic messages', () => {
  it('calls tools in parallel, with pieces of JSON', async () => {
    const got = await askMessage(simulator.url, 'tools:calls=2', { tools });
    expect(got.stop).toBe('tool_use');
    expect(blocks(got.parsed)).toEqual(['tool_use', 'tool_use']);
    expect(new Set(got.parsed.map(({ content_block: block }) => block?.id)).size).toBe(3);
    for (const call of [0, 1]) {
      const pieces = got.parsed.filter(({ index, delta }) => index === call && delta);
      expect(pieces.length).toBeGreaterThan(5);
      expect(pieces.map(({ delta }) => delta?.partial_json).join('')).toBe(
        expectedArguments(call, 8),
      );
    }
  });

  it('answers in text when there is no tool to call', async () => {
    const forbidden = { tools, tool_choice: { type: 'none' } };
    const texts = [
      (await askMessage(simulator.url, 'tools:tokens=3')).text,
      (await askMessage(simulator.url, 'tools:tokens=3', forbidden)).text,
    ];
    expect(texts).toEqual(Array(2).fill(expectedText({ tokens: 3 })));
  });

  it('echoes the exact text of the request, and its headers but for the key', async () => {
    const body =
      '{ "model":"echo", "stream" : true,"max_tokens":5,"messages":[{"role":"user","content":"é🚀\\u00e9"}], "big":12345678901234567890, "f":1.0 }';
    const headers = { 'anthropic-version': '2023-06-01', 'x-api-key': 'sk-very-secret-1234' };
    const response = await fetch(`${simulator.url}/v1/messages`, { method: 'POST', headers, body });
    const raw = await response.text();
    const data = raw.split('\n').flatMap((line) => /^data: (.*)$/u.exec(line)?.[1] ?? []);
    const events = data.map((json): MessagesEvent => JSON.parse(json));
    expect(events.map(({ delta }) => delta?.text ?? '').join('')).toBe(body);
    expect(events[0]?.message).toMatchObject({
      x_echo_headers: { 'anthropic-version': '2023-06-01' },
    });
    expect(raw).not.toContain('secret');
    expect(simulator.requests.at(-1)?.headers['x-api-key']).toBe('…1234');
  });

  it('says nothing but its head where it has nothing to say', async () => {
    const nothing = await askMessage(simulator.url, 'healthy:tokens=0');
    expect(names(nothing.events)).toEqual(['message_start', 'message_delta', 'message_stop']);
    expect(names((await askMessage(simulator.url, 'role-only')).events)).toEqual([
      'message_start',
      'message_stop',
    ]);
  });
});

describe('a request for a message without stream', () => {
  it.each(['healthy:tokens=20,unicode=1', 's11:tokens=20,unicode=1,vendor=1'])(
    'gets one message with usage from %s',
    async (model) => {
      const response = await postMessage(simulator.url, { model });
      expect(response.headers.get('content-type')).toMatch(/^application\/json/u);
      expect(await response.json()).toMatchObject({
        id: expect.stringMatching(/^msg_sim_/u),
        type: 'message',
        role: 'assistant',
        model,
        content: [{ type: 'text', text: expectedText({ tokens: 20, unicode: 1 }) }],
        stop_reason: 'end_turn',
        usage: { input_tokens: 5, output_tokens: 20 },
      });
    },
  );

  it('gets thinking, tool calls and refusals', async () => {
    const whole = async (model: string) =>
      (await postMessage(simulator.url, { model, tools })).json();
    expect(await whole('tools:calls=2,reasoning=3')).toMatchObject({
      content: [
        { type: 'thinking', thinking: expectedReasoning(3).join('') },
        { type: 'tool_use', name: 'weather', input: JSON.parse(expectedArguments(0, 8)) },
        { type: 'tool_use', name: 'weather', input: JSON.parse(expectedArguments(1, 8)) },
      ],
      stop_reason: 'tool_use',
    });
    expect(await whole('refusal')).toMatchObject({
      content: [{ type: 'text', text: EXPECTED_REFUSAL }],
      stop_reason: 'refusal',
    });
  });
});

describe('an answer of a form that the request demands', () => {
  const schema = {
    type: 'object',
    properties: { city: { type: 'string' }, unit: { enum: ['celsius'] } },
    required: ['city', 'unit'],
    additionalProperties: false,
  };
  const value = { city: 'simulated', unit: 'celsius' };

  it('is JSON by its schema', async () => {
    const format = { type: 'json_schema', schema };
    for (const asked of [{ output_config: { format } }, { output_format: format }]) {
      const got = await askMessage(simulator.url, 'healthy', asked);
      expect(JSON.parse(got.text)).toEqual(value);
    }
  });

  it('is a call by the tool’s schema, and text once the tool has its result', async () => {
    const weather = [{ name: 'weather', input_schema: schema }];
    const reply = await postMessage(simulator.url, { model: 'tools', tools: weather });
    expect(await reply.json()).toMatchObject({ content: [{ type: 'tool_use', input: value }] });
    const result = { type: 'tool_result', tool_use_id: 't', content: 'sunny' };
    const messages = [{ role: 'user', content: [result] }];
    const got = await askMessage(simulator.url, 'tools:tokens=3', { tools: weather, messages });
    expect(got.text).toBe(expectedText({ tokens: 3 }));
  });
});
