import { createServer } from 'node:http';
import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, createGzip, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { Pool } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { startAttempt } from './attempt.ts';
import type { AttemptOptions } from './attempt.ts';
import { fault } from '../continuation/history.fixture.ts';
import { anthropicMessages } from '@millrace/formats/anthropic-messages/provider';
import { openAiChat } from '@millrace/formats/openai-chat/provider';

/* One upstream call over a real socket. */

const open: (Server | Pool)[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) {
    if (one instanceof Pool) await one.destroy();
    else {
      one.closeAllConnections();
      await new Promise((resolve) => one.close(resolve));
    }
  }
});

/** The origin of a provider that answers like this. */
async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type More = Partial<Omit<AttemptOptions, 'call'>> & { call?: Partial<AttemptOptions['call']> };

function attempt(origin: string, { call, ...more }: More = {}) {
  const dispatcher = new Pool(origin, { connections: 1 });
  open.push(dispatcher);
  const seen: string[] = [];
  const errors: unknown[] = [];
  const one = startAttempt({
    dispatcher,
    format: openAiChat,
    call: {
      body: '{"messages":[]}',
      stream: true,
      model: 'm',
      baseUrl: `${origin}/v1`,
      apiKey: undefined,
      traceparent: undefined,
      prefill: false,
      identity: undefined,
      ...call,
    },
    timeouts: { firstTokenTimeoutMs: 60_000, idleTimeoutMs: 60_000 },
    limit: { at: Date.now() + 60_000, fault: fault('upstream_timeout') },
    maxResponseBytes: 1_000_000,
    wasAccepted: false,
    sink: {
      plain: (_, content) => seen.push(content),
      chunk: (text) => seen.push(text),
      usage: () => {},
    },
    signal: new AbortController().signal,
    onError: (error) => errors.push(error),
    ...more,
  });
  const pause = () => one.pause();
  const resume = () => one.resume();
  return { outcome: one.outcome, seen, errors, dispatcher, pause, resume };
}

const event = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

const hello = event({ content: 'Hi' }) + event({}, 'stop');
const streamed: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(`${hello}data: [DONE]\n\n`);
};

it('a whole answer completes it', async () => {
  const { outcome, seen } = attempt(await serve(streamed));
  expect(await outcome).toEqual({ kind: 'completed', finishReason: 'stop' });
  expect(seen).toHaveLength(2);
});

/** What may stand in place of the usage, and take it along. */
it.each<[string, string, (response: ServerResponse) => void]>([
  ['its connection breaks', '', (response) => response.destroy()],
  ['its connection ends in order', '', (response) => response.end()],
  ['an error follows', 'data: {"error":{"message":"m"}}\n\n', (response) => response.end()],
  [
    'what follows cannot be read',
    'data: {"usage":{"prom\n\ndata: [DONE]\n\n',
    (response) => response.end(),
  ],
])('an answer is whole, but cut, where behind its finish_reason %s', async (_, tail, end) => {
  const origin = await serve((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`${hello}${tail}`, () => end(response));
  });
  expect(await attempt(origin).outcome).toEqual({
    kind: 'completed',
    finishReason: 'stop',
    isCut: true,
  });
});

it.each([
  ['in one event of a stream', true, 'text/event-stream', (x: string) => `data: {"x":${x}}\n\n`],
  ['in a whole answer', false, 'application/json', (x: string) => `{"x":${x}}`],
  [
    'in a whole answer to a request for a stream',
    true,
    'application/json',
    (x: string) => `{"x":${x}}`,
  ],
])('millions of values %s fail it before they are parsed', async (_, stream, type, around) => {
  const origin = await serve((_request, response) => {
    response.writeHead(200, { 'content-type': type });
    response.end(around(`[${'[],'.repeat(600_000)}1]`));
  });
  const maxResponseBytes = 16 * 1024 * 1024;
  expect(await attempt(origin, { maxResponseBytes, call: { stream } }).outcome).toMatchObject({
    kind: 'fault',
    fault: { code: 'upstream_response_too_large' },
  });
});

it('its stream gathers only once it has flowed for a while, and no more from its finish_reason on', async () => {
  let answer: ServerResponse | undefined;
  const origin = await serve((_, response) => {
    answer = response;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': a ping, and no token\n\n');
  });
  const pool = new Pool(origin, { connections: 1 });
  open.push(pool);
  const gathers: boolean[] = [];
  const dispatcher: AttemptOptions['dispatcher'] = {
    dispatch: (options, handler) =>
      void pool.dispatch(options, {
        ...handler,
        onRequestStart(controller, context) {
          const gather = (on: boolean) => gathers.push(on);
          handler.onRequestStart?.(Object.assign(controller, { gather }), context);
        },
      }),
  };
  const { outcome, seen } = attempt(origin, { dispatcher });
  await expect.poll(() => answer).toBeDefined();
  const write = async (text: string) => {
    const before = seen.length;
    answer?.write(text);
    await expect.poll(() => seen.length).toBeGreaterThan(before);
  };
  // A first token that is late is read as it comes.
  await sleep(300);
  const firstAt = Date.now();
  await write(event({ content: 'a' }));
  await write(event({ content: 'b' }));
  // A machine that took longer says nothing.
  expect(Date.now() - firstAt < 250 ? gathers : []).toEqual([]);
  await sleep(300);
  await write(event({ content: 'c' }));
  expect(gathers).toEqual([true]);
  await write(event({}, 'stop'));
  expect(gathers).toEqual([true, false]);
  answer?.end('data: [DONE]\n\n');
  expect(await outcome).toEqual({ kind: 'completed', finishReason: 'stop' });
  expect(gathers).toEqual([true, false]);
});

it('the end of the request’s time ends it, with what that says', async () => {
  const origin = await serve(() => {});
  const limit = { at: Date.now() + 20, fault: fault('deadline_exceeded') };
  expect(await attempt(origin, { limit }).outcome).toMatchObject({
    fault: { code: 'deadline_exceeded' },
  });
});

it('a silence that passed while this process stood still is begun anew', async () => {
  const origin = await serve((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event({ content: 'Hi' }));
  });
  let asked = 0;
  const { outcome } = attempt(origin, {
    timeouts: { firstTokenTimeoutMs: 60_000, idleTimeoutMs: 20 },
    wasLate: () => (asked += 1) <= 3,
  });
  expect(await outcome).toMatchObject({ fault: { code: 'upstream_idle_timeout' } });
  expect(asked).toBe(4);
});

it.each(['sk-real-0123', 'x', '0', 'null'])(
  'a key of %j leaves the error of a provider as it is',
  async (apiKey) => {
    const error = { message: 'too long', type: 't', param: null, code: 'context_length_exceeded' };
    const origin = await serve((_, response) => {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error }));
    });
    expect(await attempt(origin, { call: { apiKey } }).outcome).toEqual({
      kind: 'fault',
      fault: {
        code: 'context_length_exceeded',
        message: 'The provider answered with status 400.',
        detail: '400 context_length_exceeded: too long',
        httpStatus: 400,
        error,
      },
    });
  },
);

describe('an answer to a request for a stream', () => {
  const stream = `${hello}data: [DONE]\n\n`;
  const whole = JSON.stringify({
    id: 'c',
    created: 1,
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
    usage: { total_tokens: 3 },
  });
  const message = JSON.stringify({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [{ type: 'text', text: 'Hi' }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 1, output_tokens: 2 },
  });
  /** Sends the body in two packets. */
  const send =
    (headers: Record<string, string>, body: string | Buffer, status = 200): RequestListener =>
    (_, response) => {
      const bytes = Buffer.from(body as string);
      response.writeHead(status, headers);
      response.write(bytes.subarray(0, 3), () => response.end(bytes.subarray(3)));
    };
  const said = (seen: string[]) => seen.join('').includes('"content":"Hi"');

  it.each([
    'Text/Event-Stream;Charset=UTF-8',
    'text/plain',
    'application/octet-stream',
    'application/json',
    '',
  ])('is read as a stream where it is one, whatever its label says: %j', async (type) => {
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
    for (const body of [stream, `\uFEFF${stream}`, `: hello\n\n${stream}`]) {
      const { outcome, seen } = attempt(await serve(send(headers, body)));
      expect(await outcome).toMatchObject({ kind: 'completed', finishReason: 'stop' });
      expect(said(seen)).toBe(true);
    }
  });

  it.each([
    ['openai', openAiChat, whole],
    ['openai, with a byte order mark', openAiChat, `\uFEFF${whole}`],
    ['anthropic', anthropicMessages, message],
  ])('is made a stream where it is whole: %s', async (_name, format, body) => {
    for (const type of ['application/json', 'text/event-stream']) {
      const usages: unknown[] = [];
      const seen: string[] = [];
      let visible = 0;
      const sink: AttemptOptions['sink'] = {
        plain: () => {},
        chunk(text, _, isVisible) {
          seen.push(text);
          if (isVisible) visible += 1;
        },
        usage: (text) => usages.push(JSON.parse(text)),
      };
      let firstTokens = 0;
      const one = attempt(await serve(send({ 'content-type': type }, body)), {
        format,
        sink,
        watch: { head() {}, firstToken: () => (firstTokens += 1) },
        call: { body: '{"messages":[{"role":"user","content":"x"}]}' },
      });
      const outcome = await one.outcome;
      expect(outcome).toMatchObject({
        kind: 'completed',
        finishReason: 'stop',
        usage: { total_tokens: 3 },
      });
      expect(outcome).not.toHaveProperty('result');
      expect(seen).toHaveLength(2);
      expect(said(seen)).toBe(true);
      expect(visible).toBe(1);
      expect(firstTokens).toBe(1);
      expect(usages).toEqual([
        expect.objectContaining({
          choices: [],
          usage: expect.objectContaining({ total_tokens: 3 }),
        }),
      ]);
    }
  });

  it.each([
    ['gzip', gzipSync],
    ['X-GZIP', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as [string, (text: string) => Buffer][])(
    'is unpacked, though nothing asked for that: %s',
    async (encoding, pack) => {
      const headers = { 'content-type': 'text/event-stream', 'content-encoding': encoding };
      const { outcome, seen } = attempt(await serve(send(headers, pack(stream))));
      expect(await outcome).toMatchObject({ kind: 'completed' });
      expect(said(seen)).toBe(true);
      const json = await serve(send({ 'content-encoding': encoding }, pack(whole)));
      const { outcome: answer } = attempt(json, { call: { stream: false } });
      expect(await answer).toMatchObject({ kind: 'completed', result: { body: whole } });
      const error = JSON.stringify({
        error: { message: 'too long', code: 'context_length_exceeded' },
      });
      const refused = await serve(send({ 'content-encoding': encoding }, pack(error), 400));
      expect(await attempt(refused).outcome).toMatchObject({
        fault: { code: 'context_length_exceeded' },
      });
    },
  );

  it('is shown as it comes, also where it is packed', async () => {
    let go: (() => void) | undefined;
    const origin = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
      const gzip = createGzip();
      gzip.pipe(response);
      gzip.write(event({ content: 'Hi' }));
      gzip.flush();
      go = () => gzip.end(`${event({}, 'stop')}data: [DONE]\n\n`);
    });
    const { outcome, seen } = attempt(origin);
    await expect.poll(() => said(seen)).toBe(true);
    go?.();
    expect(await outcome).toMatchObject({ kind: 'completed' });
  });

  it.each([
    ['is cut', gzipSync(stream).subarray(0, -20)],
    ['is none', Buffer.from(stream)],
  ])('is a fault where its packing %s', async (_what, body) => {
    const headers = { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' };
    const { outcome, dispatcher } = attempt(await serve(send(headers, body)));
    expect(await outcome).toMatchObject({ fault: { code: 'upstream_invalid_response' } });
    await expect.poll(() => dispatcher.stats.running).toBe(0);
  });

  it('that is packed and breaks off is a reset', async () => {
    const origin = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
      response.write(gzipSync(stream).subarray(0, -20), () => response.destroy());
    });
    expect(await attempt(origin).outcome).toMatchObject({ fault: { code: 'upstream_reset' } });
  });

  it('is asked for as it is', async () => {
    let asked: string | string[] | undefined;
    const origin = await serve((request, response) => {
      asked = request.headers['accept-encoding'];
      streamed(request, response);
    });
    await attempt(origin).outcome;
    expect(asked).toBe('identity');
  });

  it('waits, packed or not, while it is paused, and comes whole behind that', async () => {
    const long = `${event({ content: 'x'.repeat(200_000) })}${event({}, 'stop')}data: [DONE]\n\n`;
    const headers = { 'content-type': 'text/event-stream', 'content-encoding': 'br' };
    const { outcome, seen, pause, resume } = attempt(
      await serve(send(headers, brotliCompressSync(long))),
    );
    pause();
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(seen).toEqual([]);
    resume();
    expect(await outcome).toMatchObject({ kind: 'completed' });
    expect(seen[0]).toContain('x'.repeat(200_000));
  });
});

it.each([600, 999])('the status %i is no status for a client', async (status) => {
  const origin = await serve((_, response) => {
    response.socket?.end(`HTTP/1.1 ${status} What\r\ncontent-length: 0\r\n\r\n`);
  });
  for (const stream of [true, false]) {
    expect(await attempt(origin, { call: { stream } }).outcome).toMatchObject({
      fault: { httpStatus: 502, code: 'upstream_server_error' },
    });
  }
});

it('a whole answer that is no UTF-8 is a fault, and one with a byte order mark is read', async () => {
  const body = '{"id":"c","created":1,"model":"m","choices":[{"message":{"content":"Hé"}}]}';
  const call = { stream: false };
  const [before = '', after = ''] = body.split('é');
  const broken = Buffer.concat([Buffer.from(before), Buffer.from([0xe9]), Buffer.from(after)]);
  const latin = await serve((_, response) => response.end(broken));
  expect(await attempt(latin, { call }).outcome).toMatchObject({
    fault: { code: 'upstream_invalid_response' },
  });
  const marked = await serve((_, response) => response.end(`\uFEFF${body}`));
  expect(await attempt(marked, { call }).outcome).toMatchObject({
    kind: 'completed',
    result: { body },
  });
});

describe('what throws', () => {
  const deep = `${'{"a":'.repeat(8000)}1${'}'.repeat(8000)}`;
  const tool = `{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":${deep}}}}`;

  it('in a translation is a target that cannot be asked this way', async () => {
    const origin = await serve(() => {});
    const body = `{"messages":[{"role":"user","content":"x"}],"tools":[${tool}]}`;
    const call = { body, model: 'claude-sonnet-4-5' };
    const { outcome, errors } = attempt(origin, { format: anthropicMessages, call });
    expect(await outcome).toMatchObject({ kind: 'fault', fault: { code: 'target_unsuited' } });
    expect(errors).toHaveLength(1);
  });

  it.each([
    ['stream', streamed],
    ['whole', (_, response) => response.end('{}')],
  ] as [string, RequestListener][])(
    'in the reading of a %s answer is our own fault',
    async (kind, answer) => {
      const bug = () => {
        throw new TypeError('a bug');
      };
      const format = { ...openAiChat, readStream: bug, readWhole: bug };
      const call = { stream: kind === 'stream' };
      const { outcome, errors } = attempt(await serve(answer), { format, call });
      expect(await outcome).toMatchObject({ kind: 'fault', fault: { code: 'internal_error' } });
      expect(errors).toEqual([new TypeError('a bug')]);
    },
  );

  it('in the sending of it is our own fault', async () => {
    const dispatcher = new Pool('http://127.0.0.1:9');
    open.push(dispatcher);
    dispatcher.dispatch = () => {
      throw new TypeError('a bug');
    };
    const { outcome } = attempt('http://127.0.0.1:9', { dispatcher });
    expect(await outcome).toMatchObject({ fault: { code: 'internal_error' } });
  });
});

describe('a pause', () => {
  it('before the request has a connection holds its answer back', async () => {
    let first: (() => void) | undefined;
    const origin = await serve((request, response) => {
      if (request.url === '/first') first = () => response.end();
      else streamed(request, response);
    });
    const dispatcher = new Pool(origin, { connections: 1, pipelining: 1 });
    open.push(dispatcher);
    // The only connection is taken.
    const before = dispatcher.request({ path: '/first', method: 'GET' });
    const { outcome, seen, pause, resume } = attempt(origin, { dispatcher });
    pause();
    await expect.poll(() => first).toBeDefined();
    first?.();
    await (await before).body.dump();
    // Its head is there, and would be followed by its body.
    await expect.poll(() => dispatcher.stats.running).toBe(1);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(seen).toEqual([]);
    resume();
    expect(await outcome).toMatchObject({ kind: 'completed' });
    expect(seen).toHaveLength(2);
  });

  it('gives an answer that is not streamed no time for its first token', async () => {
    let answer: (() => void) | undefined;
    const origin = await serve((_, response) => {
      answer = () => response.end('{"choices":[{"message":{"content":"Hi"}}]}');
    });
    const { outcome, pause, resume } = attempt(origin, {
      call: { stream: false },
      timeouts: { firstTokenTimeoutMs: 1, idleTimeoutMs: 1 },
    });
    pause();
    resume();
    await expect.poll(() => answer).toBeDefined();
    answer?.();
    expect(await outcome).toMatchObject({ kind: 'completed' });
  });
});
