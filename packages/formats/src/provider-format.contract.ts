import { expect, it } from 'vitest';
import { assembleCompletion } from './openai-chat/completion.ts';
import type { ChatCompletion } from './openai-chat/completion.ts';
import type { Headers, ProviderCall, ProviderFormat, UpstreamRequest, Verdict } from './port.ts';

/** Examples of what a provider with this format sends, all for the same short answer. */
export type ProviderExample = {
  baseUrl: string;
  /** `whole`: that of a request that is not streamed, if it is another one. */
  paths: { models: string; request: string; whole?: string };
  /** The model and the form of the answer that a request asks for; by default they are members of its body. */
  asked?: (request: UpstreamRequest) => { model: unknown; stream: unknown };
  /** The headers that carry the key `sk-example`. */
  keyHeaders: Record<string, string>;
  /** The events of a whole stream, from the first one to the last; see `answer`. */
  events: readonly string[];
  /** How many of them are needed up to the finish_reason. */
  eventsToFinish: number;
  /** The same answer as a body. */
  whole: string;
  /** The content of both. */
  answer: { content: string; finishReason: string; promptTokens: number; completionTokens: number };
  /** An event that may contain a part of the answer, and breaks off. */
  damagedEvent: string;
  /** An error, as the body of a response with status 429, as an event of a stream, and as a body with status 200. */
  rateLimit: { body: string; event: string };
  /** The head of a response that says how many requests and tokens are left. */
  quota: { headers: Headers; requests: number; tokens: number };
};

const question = '{"model":"alias","messages":[{"role":"user","content":"Greet me."}]}';

function askedInBody({ body }: UpstreamRequest) {
  const { model, stream = false } = JSON.parse(body) as { model: unknown; stream?: unknown };
  return { model, stream };
}

/** The answer of a stream so far, as its readers get it. */
type Read = { verdict: Verdict; usages: unknown[]; answer: ChatCompletion | undefined };

/** Checks the common behaviour of all provider formats. */
export function describeProviderFormat(format: ProviderFormat, example: ProviderExample): void {
  const callWith = (more: Partial<ProviderCall> = {}): ProviderCall => ({
    body: question,
    stream: true,
    model: 'model-1',
    baseUrl: example.baseUrl,
    apiKey: 'sk-example',
    traceparent: undefined,
    prefill: false,
    identity: undefined,
    ...more,
  });

  /** Reads a stream in packets of `size` bytes. */
  function read(text: string, size = Infinity, call = callWith()): Read {
    const chunks: unknown[] = [];
    const usages: unknown[] = [];
    const reader = format.readStream(call, {
      plain(line, content) {
        const chunk = JSON.parse(line) as { choices: { delta: { content: unknown } }[] };
        expect(chunk.choices[0]?.delta.content).toBe(content);
        chunks.push(chunk);
      },
      chunk(line, chunk) {
        expect(JSON.parse(line)).toEqual(chunk);
        chunks.push(chunk);
      },
      usage: (line) => usages.push(JSON.parse(line)),
    });
    const bytes = Buffer.from(text);
    let verdict: Verdict | undefined;
    for (let at = 0; at < bytes.length && !verdict; at += size) {
      verdict = reader.push(bytes.subarray(at, at + size));
    }
    return { verdict: verdict ?? reader.end(), usages, answer: assembleCompletion(chunks) };
  }

  const stream = (...events: readonly string[]): string => events.join('');
  const { events, eventsToFinish, answer } = example;
  const unfinished = events.slice(0, eventsToFinish - 1);

  function expectAnswer({ verdict, answer: told, usages }: Read): void {
    expect(verdict).toMatchObject({ kind: 'completed', finishReason: answer.finishReason });
    expect(verdict).not.toHaveProperty('isCut');
    expect(told?.choices).toHaveLength(1);
    expect(told?.choices[0]).toMatchObject({
      index: 0,
      message: { role: 'assistant', content: answer.content },
      finish_reason: answer.finishReason,
    });
    expect(usages.at(-1)).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: answer.promptTokens,
        completion_tokens: answer.completionTokens,
        total_tokens: answer.promptTokens + answer.completionTokens,
      },
    });
  }

  it('sends a request to its path, with the key, the model and the accepted form of the answer', () => {
    for (const stream of [true, false]) {
      const body = JSON.stringify({ ...(JSON.parse(question) as object), stream });
      const request = format.request(
        callWith({ body, stream, traceparent: '00-1-2-01', tracestate: 'a=b' }),
      );
      if ('code' in request) throw new Error(`refused: ${request.message}`);
      const { paths, asked = askedInBody } = example;
      expect(request.path).toBe(stream ? paths.request : (paths.whole ?? paths.request));
      expect(request.headers).toMatchObject({
        ...example.keyHeaders,
        'content-type': 'application/json',
        accept: stream ? 'text/event-stream' : 'application/json',
        'user-agent': 'millrace',
        traceparent: '00-1-2-01',
        tracestate: 'a=b',
      });
      expect(asked(request)).toEqual({ model: 'model-1', stream });
      expect(request.body).not.toContain('sk-example');
    }
  });

  it('sends no header of a key to a provider that has none', () => {
    const account = { baseUrl: example.baseUrl, apiKey: undefined };
    const { headers } = format.request(callWith(account)) as UpstreamRequest;
    const secret = Object.entries(example.keyHeaders).filter(([, value]) => value.includes('sk-'));
    expect(secret).toHaveLength(1);
    expect(headers).not.toHaveProperty(secret[0]![0]);
    expect(format.modelsRequest(account).headers).not.toHaveProperty(secret[0]![0]);
  });

  it('asks for the list of models at its path, with the key', () => {
    const { path, headers } = format.modelsRequest(callWith());
    expect(path).toBe(example.paths.models);
    expect(headers).toMatchObject({ ...example.keyHeaders, accept: 'application/json' });
  });

  it('answers with a fault, and does not throw, where it cannot express a request', () => {
    for (const body of ['{}', '{"messages":5}', '{"messages":[{"role":"robot","content":{}}]}']) {
      const request = format.request(callWith({ body }));
      const said = 'code' in request ? request.code : typeof JSON.parse(request.body);
      expect(['target_unsuited', 'object']).toContain(said);
    }
  });

  it.each([1, 2, 7, 50, Infinity])('reads a stream that comes in packets of %d bytes', (size) => {
    expectAnswer(read(stream(...events), size));
  });

  it('reads a stream whose lines end in CRLF', () => {
    expectAnswer(read(stream(...events).replaceAll('\n', '\r\n')));
  });

  it('ignores comments, blank events and pings between the events', () => {
    const noise = ': keep-alive\n\nevent: ping\ndata: {"type":"ping"}\n\ndata:\n\n';
    expectAnswer(read(events.map((event) => noise + event).join('')));
  });

  it('keeps the identity that readers have seen', () => {
    const identity = { id: 'chatcmpl-seen', created: 17, model: 'seen' };
    expect(read(stream(...events), Infinity, callWith({ identity })).answer).toMatchObject(
      identity,
    );
  });

  it('calls a stream that ends before its finish_reason truncated, at whatever event', () => {
    expect(unfinished.length).toBeGreaterThan(1);
    for (let count = 1; count <= unfinished.length; count++) {
      expect(read(stream(...unfinished.slice(0, count))).verdict).toMatchObject({
        kind: 'fault',
        fault: { code: 'upstream_truncated' },
      });
    }
  });

  it('calls a stream that ends behind its finish_reason completed', () => {
    for (let count = eventsToFinish; count <= events.length; count++) {
      expect(read(stream(...events.slice(0, count))).verdict).toMatchObject({
        kind: 'completed',
        finishReason: answer.finishReason,
      });
    }
  });

  it('calls a stream without any event no answer', () => {
    for (const text of ['', ': hello\n\n']) {
      expect(read(text).verdict).toMatchObject({
        kind: 'fault',
        fault: { code: 'upstream_invalid_response' },
      });
    }
  });

  it('ends the answer at an event that cannot be read, unless it is finished', () => {
    const { damagedEvent } = example;
    expect(
      read(stream(...unfinished, damagedEvent, ...events.slice(eventsToFinish - 1))).verdict,
    ).toMatchObject({
      kind: 'fault',
      fault: { code: 'upstream_invalid_response' },
    });
    const behind = stream(...events.slice(0, eventsToFinish), damagedEvent);
    expect(read(behind).verdict).toMatchObject({
      kind: 'completed',
      finishReason: answer.finishReason,
    });
  });

  it('refuses an event that is too large to hold', () => {
    const event = `data: {"x":"${'x'.repeat(17 * 1024 * 1024)}`;
    expect(read(event, 1024 * 1024).verdict).toMatchObject({
      kind: 'fault',
      fault: { code: 'upstream_response_too_large' },
    });
  });

  it('reads an error in the middle of a stream, unless the answer is finished', () => {
    const { event } = example.rateLimit;
    expect(read(stream(...unfinished, event)).verdict).toMatchObject({
      kind: 'fault',
      fault: { code: 'upstream_rate_limited', error: { code: 'rate_limit_exceeded' } },
    });
    const behind = stream(...events.slice(0, eventsToFinish), event);
    expect(read(behind).verdict).toMatchObject({
      kind: 'completed',
      finishReason: answer.finishReason,
    });
  });

  it('reads a whole answer as the same as a stream of it', () => {
    const read = format.readWhole(example.whole, callWith({ stream: false }));
    expect(read).toMatchObject({ kind: 'completed', finishReason: answer.finishReason });
    const { body = example.whole } = read;
    expect(JSON.parse(body)).toMatchObject({
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: answer.content },
          finish_reason: answer.finishReason,
        },
      ],
      usage: { prompt_tokens: answer.promptTokens, completion_tokens: answer.completionTokens },
    });
  });

  it.each(['', 'null', '[]', '"text"', '{}', '{"choices":[]}', '{"content":7}', '<html>', '{"a'])(
    'takes no answer from a body of %j',
    (body) => {
      expect(format.readWhole(body, callWith({ stream: false }))).toMatchObject({
        kind: 'fault',
        fault: { code: 'upstream_invalid_response' },
      });
    },
  );

  it('reads the same error in a body with an error status, in one with status 200, and in a stream', () => {
    const { body, event } = example.rateLimit;
    const read429 = format.readError({ status: 429, headers: {}, text: body }, callWith());
    expect(read429).toMatchObject({
      code: 'upstream_rate_limited',
      error: { code: 'rate_limit_exceeded' },
    });
    const whole = format.readWhole(body, callWith({ stream: false }));
    const streamed = read(event).verdict;
    for (const verdict of [whole, streamed]) {
      expect(verdict).toMatchObject({
        kind: 'fault',
        fault: { code: 'upstream_rate_limited', error: read429.error },
      });
    }
  });

  it.each([
    [400, 'upstream_rejected'],
    [401, 'upstream_auth_failed'],
    [403, 'upstream_auth_failed'],
    [404, 'upstream_model_not_found'],
    [429, 'upstream_rate_limited'],
    [500, 'upstream_server_error'],
    [503, 'upstream_overloaded'],
  ])('reads status %d without a word as %s', (status, code) => {
    for (const text of ['', '{}', '<html><title>Oops</title></html>', '\u0000']) {
      expect(format.readError({ status, headers: {}, text }, callWith()).code).toBe(code);
    }
  });

  it('reads how long to wait from the head of an error before its body', () => {
    const { body } = example.rateLimit;
    const read = (headers: Headers) =>
      format.readError({ status: 429, headers, text: body }, callWith()).retryAfterMs;
    expect(read({ 'retry-after': '7' })).toBe(7000);
    expect(format.readLimits({ 'retry-after': '7' }, 0).retryAfterMs).toBe(7000);
    expect(format.readLimits({}, 0).retryAfterMs).toBeUndefined();
  });

  it('reads what a head says is left of the limits', () => {
    const { headers, requests, tokens } = example.quota;
    const { quota } = format.readLimits(headers, Date.now());
    expect(quota?.requests?.remaining).toBe(requests);
    expect(quota?.tokens?.remaining).toBe(tokens);
    expect(format.readLimits({ 'content-type': 'text/plain' }, 0).quota).toBeUndefined();
  });
}
