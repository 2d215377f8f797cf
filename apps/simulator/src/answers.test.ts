import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chunksOf, post } from './ask.ts';
import type { Simulator } from './index.ts';
import {
  bigText,
  EXPECTED_REFUSAL,
  expectedArguments,
  expectedReasoning,
  expectedText,
  startSimulator,
  tokenAt,
} from './index.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ name: 'alpha' });
});
afterAll(() => simulator.close());

const weather = { type: 'function', function: { name: 'weather', parameters: {} } };

describe('a healthy stream', () => {
  it('says its expected text once, with finish_reason, terminator and simulated labels', async () => {
    const got = await ask(simulator.url, 'healthy:tokens=30');
    expect(got).toMatchObject({ status: 200, finish: 'stop', terminated: true, broken: false });
    expect(got.text).toBe(expectedText({ tokens: 30 }));
    expect(got.text).toMatch(
      /^This is a simulated answer from Millrace's built-in test provider\. w10/u,
    );
    expect(tokenAt(17)).toBe(' w17');
    expect(got.headers.get('x-simulated-provider')).toBe('alpha');
    const chunks = chunksOf(got.events);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks).toHaveLength(30 + 2);
    expect(chunks.every((chunk) => 'system_fingerprint' in chunk)).toBe(true);
    expect(got.raw).toContain('"system_fingerprint":"simulated"');
    expect(got.raw).not.toContain('usage');
  });

  it('gives each request an id of its own', async () => {
    const [one, other] = await Promise.all([
      ask(simulator.url, 'healthy'),
      ask(simulator.url, 'healthy'),
    ]);
    expect(chunksOf(one.events)[0]?.id).not.toBe(chunksOf(other.events)[0]?.id);
  });

  it('reports usage only when asked: null on every chunk, then one with empty choices', async () => {
    const got = await ask(simulator.url, 'healthy:tokens=5,reasoning=2', {
      stream_options: { include_usage: true },
    });
    const chunks = chunksOf(got.events);
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 },
    });
  });

  it('paces its deltas and waits before the first', async () => {
    const began = performance.now();
    const got = await ask(simulator.url, 'healthy:tokens=11,pace=10,first=100');
    expect(performance.now() - began).toBeGreaterThanOrEqual(199);
    expect(got.text).toBe(expectedText({ tokens: 11 }));
  });

  it.each([
    'eol=crlf',
    'eol=cr',
    'nospace=1',
    'comments=1',
    'vendor=1',
    'bytes=1',
    'bytes=7,unicode=1',
    'unicode=1',
    'eol=crlf,nospace=1,comments=1,vendor=1,bytes=5,unicode=1,logprobs=1',
  ])('is the same text on the wire with %s', async (keys) => {
    const got = await ask(simulator.url, `healthy:tokens=14,${keys}`);
    const unicode = keys.includes('unicode') ? 1 : 0;
    expect(got.text).toBe(expectedText({ tokens: 14, unicode }));
    expect(got).toMatchObject({ finish: 'stop', terminated: true, broken: false });
  });

  it('really writes the oddities it is asked for', async () => {
    const crlf = await ask(simulator.url, 'healthy:tokens=2,eol=crlf,nospace=1,comments=1');
    expect(crlf.raw.startsWith(': keep-alive\r\n\r\ndata:{')).toBe(true);
    const vendor = await ask(simulator.url, 'healthy:tokens=2,vendor=1');
    expect(vendor.raw).toContain('"x_vendor" : {"trace": 9007199254740993');
    expect(vendor.raw).toContain('"x_choice": {"exact": 1.00');
    expect(vendor.raw).toContain('"x_delta": 9007199254740995');
  });

  it('speaks with as many choices as the request or the model name wants', async () => {
    const got = await ask(simulator.url, 'healthy:tokens=12,seed=3', { n: 2 });
    const second = chunksOf(got.events)
      .flatMap(({ choices }) => choices)
      .filter(({ index }) => index === 1);
    expect(got.text).toBe(expectedText({ tokens: 12, seed: 3 }));
    expect(second.map(({ delta }) => delta.content ?? '').join('')).toBe(
      expectedText({ tokens: 12, seed: 3, choice: 1 }),
    );
  });

  it('stops at max_tokens with finish_reason length', async () => {
    const got = await ask(simulator.url, 'healthy:tokens=30', { max_tokens: 12 });
    expect(got).toMatchObject({ text: expectedText({ tokens: 12 }), finish: 'length' });
  });

  it('reasons first', async () => {
    const chunks = chunksOf((await ask(simulator.url, 'healthy:tokens=3,reasoning=4')).events);
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta));
    const reasoning = deltas.map((delta) => delta.reasoning_content ?? '');
    expect(reasoning.join('')).toBe(expectedReasoning(4).join(''));
    expect(reasoning.slice(1, 5)).toEqual(expectedReasoning(4));
  });
});

const point = {
  type: 'object',
  properties: { x: { type: 'integer' }, label: { enum: ['mill', 'river'] } },
  required: ['x', 'label'],
  additionalProperties: false,
};

describe('an answer of a form that the request demands', () => {
  const form = { type: 'json_schema', json_schema: { name: 'point', schema: point } };

  it('is JSON by its schema, streamed in pieces, and the same from every provider', async () => {
    const got = await ask(simulator.url, 'healthy', { response_format: form });
    expect(JSON.parse(got.text)).toEqual({ x: 1, label: 'mill' });
    expect(chunksOf(got.events).length).toBeGreaterThan(3);
    expect(got).toMatchObject({ finish: 'stop', terminated: true });
    const other = await ask(simulator.url, 'prefill:seed=3', { response_format: form });
    expect(other.text).toBe(got.text);
    // A text that is kept is not taken for it, nor the other way round.
    expect((await ask(simulator.url, 'healthy')).text).toBe(expectedText({ tokens: 60 }));
  });

  it('is any object where no schema is named, and text where that is wanted', async () => {
    const got = await ask(simulator.url, 'healthy', { response_format: { type: 'json_object' } });
    expect(JSON.parse(got.text)).toEqual({ simulated: true });
    const text = await ask(simulator.url, 'healthy:tokens=3', {
      response_format: { type: 'text' },
    });
    expect(text.text).toBe(expectedText({ tokens: 3 }));
  });
});

describe('an agent', () => {
  const tool = { type: 'function', function: { name: 'draw', parameters: point } };

  it('is called with arguments by the schema, and answered once a tool has its result', async () => {
    const got = await ask(simulator.url, 'tools', { tools: [tool] });
    const calls = chunksOf(got.events).flatMap(({ choices }) =>
      choices.flatMap(({ delta }) => delta.tool_calls ?? []),
    );
    const given = calls.map((call) => call.function.arguments).join('');
    expect(JSON.parse(given)).toEqual({ x: 1, label: 'mill' });
    for (const role of ['tool', 'function']) {
      const result = { role, tool_call_id: 'c', name: 'draw', content: 'drawn' };
      const messages = [
        { role: 'user', content: 'Draw.' },
        { role: 'assistant', content: null },
        result,
      ];
      const next = await ask(simulator.url, 'tools:tokens=3', { tools: [tool], messages });
      expect(next).toMatchObject({ text: expectedText({ tokens: 3 }), finish: 'stop' });
      // The next question is one for a tool again.
      const asked = { tools: [tool], messages: [...messages, { role: 'user', content: 'Again.' }] };
      expect((await ask(simulator.url, 'tools', asked)).finish).toBe('tool_calls');
    }
  });
});

describe('other answers', () => {
  it('calls tools in parallel, with arguments in several deltas', async () => {
    const got = await ask(simulator.url, 'tools:calls=2', { tools: [weather] });
    const calls = chunksOf(got.events).flatMap(({ choices }) =>
      choices.flatMap(({ delta }) => delta.tool_calls ?? []),
    );
    expect(got.finish).toBe('tool_calls');
    expect(calls.filter(({ id }) => id !== undefined)).toHaveLength(2);
    for (const call of [0, 1]) {
      const pieces = calls.filter(({ index }) => index === call);
      expect(pieces.length).toBeGreaterThan(5);
      const text = pieces.map((piece) => piece.function.arguments);
      expect(text.join('')).toBe(expectedArguments(call, 8));
    }
  });

  it('answers in text when there is no tool to call', async () => {
    const none = await ask(simulator.url, 'tools:tokens=3');
    const forbidden = await ask(simulator.url, 'tools:tokens=3', {
      tools: [weather],
      tool_choice: 'none',
    });
    expect([none.text, forbidden.text]).toEqual(Array(2).fill(expectedText({ tokens: 3 })));
  });

  it('refuses, and ends with length or content_filter', async () => {
    const refusal = chunksOf((await ask(simulator.url, 'refusal')).events)
      .flatMap(({ choices }) => choices.map(({ delta }) => delta.refusal ?? ''))
      .join('');
    expect(refusal).toBe(EXPECTED_REFUSAL);
    expect((await ask(simulator.url, 'length')).finish).toBe('length');
    expect((await ask(simulator.url, 'content-filter-finish')).finish).toBe('content_filter');
  });

  it('echoes the exact text of the request, and its headers', async () => {
    const body =
      '{ "model":"echo", "stream" : true,"messages":[{"role":"user","content":"é🚀\\u00e9"}], "big":12345678901234567890, "f":1.0 }';
    const response = await fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { traceparent: '00-1-2-01', 'content-type': 'application/json' },
      body,
    });
    const chunks = chunksOf(
      (await response.text())
        .split('\n\n')
        .map((event) => ({ data: event.replace(/^data: /u, '') })),
    );
    const content = chunks.flatMap(({ choices }) =>
      choices.map(({ delta }) => delta.content ?? ''),
    );
    expect(content.join('')).toBe(body);
    expect(chunks[0]).toMatchObject({ x_echo_headers: { traceparent: '00-1-2-01' } });
  });

  it('sends one huge answer', async () => {
    const got = await ask(simulator.url, 'big:bytes=3000000,piece=100000');
    expect(got.text.length).toBe(3_000_000);
    expect(got.text === bigText(3_000_000)).toBe(true);
    expect(got.events.length).toBe(30 + 3);
  });
});

describe('a request without stream', () => {
  it.each(['healthy:tokens=20,unicode=1', 's11:tokens=20,unicode=1'])(
    'gets one chat.completion with usage from %s',
    async (model) => {
      const response = await post(simulator.url, { model });
      expect(response.headers.get('content-type')).toMatch(/^application\/json/u);
      expect(await response.json()).toMatchObject({
        object: 'chat.completion',
        system_fingerprint: 'simulated',
        model,
        choices: [
          {
            index: 0,
            finish_reason: 'stop',
            message: { role: 'assistant', content: expectedText({ tokens: 20, unicode: 1 }) },
          },
        ],
        usage: { completion_tokens: 20 },
      });
    },
  );

  it('gets tool calls with whole arguments', async () => {
    const response = await post(simulator.url, { model: 'tools:calls=2', tools: [weather] });
    const calls = [0, 1].map((call) => ({
      type: 'function',
      function: { name: 'weather', arguments: expectedArguments(call, 8) },
    }));
    expect(await response.json()).toMatchObject({
      choices: [{ finish_reason: 'tool_calls', message: { content: null, tool_calls: calls } }],
    });
  });
});

describe('models and keys', () => {
  it('lists its behaviours as models', async () => {
    const response = await fetch(`${simulator.url}/v1/models`);
    expect(await response.json()).toMatchObject({
      object: 'list',
      data: expect.arrayContaining([
        expect.objectContaining({ id: 's08', owned_by: 'simulated by Millrace' }),
      ]),
    });
  });

  it('answers an unknown model with a 404 that says what is known', async () => {
    const response = await post(simulator.url, { model: 'healthy:fast=1' });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { code: 'model_not_found', message: expect.stringContaining('it knows tokens') },
    });
  });

  it('answers a wrong key with 401, for models too', async () => {
    await using locked = await startSimulator({ apiKey: 'sk-right' });
    const key = (value: string) => ({ headers: { authorization: `Bearer ${value}` } });
    const wrong = await post(locked.url, { model: 'healthy' }, key('sk-wrong'));
    expect([wrong.status, await wrong.json()]).toMatchObject([
      401,
      { error: { code: 'invalid_api_key' } },
    ]);
    expect((await fetch(`${locked.url}/v1/models`)).status).toBe(401);
    expect((await post(locked.url, { model: 'healthy' }, key('sk-right'))).status).toBe(200);
  });

  it('answers a body that is no JSON with 400', async () => {
    const init = { method: 'POST', body: '{"model":' };
    expect((await fetch(`${simulator.url}/v1/chat/completions`, init)).status).toBe(400);
  });
});
