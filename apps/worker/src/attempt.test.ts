import { createServer } from 'node:http';
import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import { startAttempt } from './attempt.ts';
import type { AttemptOptions } from './attempt.ts';
import { fault } from './failover/history.fixture.ts';
import { anthropic } from './provider/anthropic.ts';
import { openai } from './provider/openai.ts';

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
    provider: openai,
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
    accepted: false,
    sink: {
      plain: (_, content) => seen.push(content),
      chunk: (text) => seen.push(text),
      usage: () => {},
    },
    signal: new AbortController().signal,
    onError: (error) => errors.push(error),
    ...more,
  });
  return { ...one, seen, errors, dispatcher };
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
        httpStatus: 400,
        error,
      },
    });
  },
);

describe('what throws', () => {
  const deep = `${'{"a":'.repeat(8000)}1${'}'.repeat(8000)}`;
  const tool = `{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":${deep}}}}`;

  it('in a translation is a target that cannot be asked this way', async () => {
    const origin = await serve(() => {});
    const body = `{"messages":[{"role":"user","content":"x"}],"tools":[${tool}]}`;
    const call = { body, model: 'claude-sonnet-4-5' };
    const { outcome, errors } = attempt(origin, { provider: anthropic, call });
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
      const provider = { ...openai, readStream: bug, readWhole: bug };
      const call = { stream: kind === 'stream' };
      const { outcome, errors } = attempt(await serve(answer), { provider, call });
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
