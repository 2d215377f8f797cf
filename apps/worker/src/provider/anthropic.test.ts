import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startAttempt } from '../attempt.ts';
import type { AttemptOutcome } from '../attempt.ts';
import { messageDelta, messageStart, messageStop, text, wire } from './anthropic/events.fixture.ts';
import { anthropic, prepare, translateWhole } from './anthropic.ts';
import type { ProviderCall } from './port.ts';

const call = (changes: Partial<ProviderCall> = {}): ProviderCall => ({
  body: JSON.stringify({ model: 'alias', messages: [{ role: 'user', content: 'Hi.' }] }),
  stream: true,
  model: 'claude-sonnet-4-5',
  baseUrl: 'https://api.anthropic.com',
  apiKey: 'sk-ant-secret',
  traceparent: undefined,
  ...changes,
});

describe('a call to Anthropic', () => {
  it.each([
    ['https://api.anthropic.com', '/v1/messages'],
    ['https://api.anthropic.com/', '/v1/messages'],
    ['https://api.anthropic.com/v1', '/v1/messages'],
    ['https://api.anthropic.com/v1/', '/v1/messages'],
    ['https://gateway.example/anthropic', '/anthropic/v1/messages'],
  ])('goes from %s to %s', (baseUrl, path) => {
    expect(anthropic.request(call({ baseUrl })).path).toBe(path);
  });

  it('has the key, the version and the trace in its headers', () => {
    const { headers } = anthropic.request(call({ traceparent: '00-a-b-01' }));
    expect(headers).toEqual({
      'content-type': 'application/json',
      accept: 'text/event-stream',
      'user-agent': 'millrace',
      'anthropic-version': '2023-06-01',
      'x-api-key': 'sk-ant-secret',
      traceparent: '00-a-b-01',
    });
    const keyless = anthropic.request(call({ apiKey: undefined, stream: false }));
    expect(keyless.headers).not.toHaveProperty('x-api-key');
    expect(keyless.headers['accept']).toBe('application/json');
  });

  it('is refused as a fault with the member that cannot be said', () => {
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hi.' }], n: 2 });
    expect(prepare(call({ body }))).toMatchObject({
      kind: 'refused',
      fault: {
        code: 'upstream_error_status',
        httpStatus: 400,
        error: { type: 'invalid_request_error', param: 'n', code: 'unsupported_parameter' },
      },
    });
    expect(prepare(call({ body: '[]' }))).toMatchObject({
      fault: { error: { param: null } },
    });
    expect(prepare(call()).kind).toBe('request');
  });
});

describe('an attempt at a server that speaks as Anthropic does', () => {
  let respond: (response: ServerResponse) => void;
  let received: { request: IncomingMessage; body: string } | undefined;
  let baseUrl: string;
  let dispatcher: Pool;
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      received = { request, body: Buffer.concat(pieces).toString() };
      respond(response);
    });
  });

  beforeEach(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    dispatcher = new Pool(baseUrl);
  });

  afterEach(async () => {
    await dispatcher.destroy();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  async function attempt(stream: boolean): Promise<{ outcome: AttemptOutcome; lines: string[] }> {
    const lines: string[] = [];
    const { outcome } = startAttempt({
      dispatcher,
      provider: anthropic,
      call: call({ baseUrl, stream }),
      timeouts: { firstTokenTimeoutMs: 5000, idleTimeoutMs: 5000, timeoutMs: 5000 },
      maxResponseBytes: 1 << 20,
      sink: { chunk: (line) => lines.push(line), usage: (line) => lines.push(line) },
      signal: new AbortController().signal,
    });
    return { outcome: await outcome, lines };
  }

  it('completes with chunks and a usage', async () => {
    respond = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      const events = [messageStart(), ...text(0, 'Hello'), messageDelta('end_turn'), messageStop];
      response.end(wire(events));
    };
    const { outcome, lines } = await attempt(true);
    expect(outcome).toMatchObject({ kind: 'completed', finishReason: 'stop' });
    expect(lines).toHaveLength(4);
    expect(received?.request.url).toBe('/v1/messages');
    expect(JSON.parse(received?.body ?? '')).toMatchObject({ stream: true });
  });

  it('completes with a whole answer that translates', async () => {
    respond = (response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const { message } = messageStart({
        content: [{ type: 'text', text: 'Hello' }],
        stop_reason: 'end_turn',
      });
      response.end(JSON.stringify(message));
    };
    const { outcome } = await attempt(false);
    if (outcome.kind !== 'completed') throw new Error(outcome.kind);
    expect(JSON.parse(translateWhole(outcome.result?.body ?? ''))).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { content: 'Hello' } }],
    });
  });

  it.each([true, false])('fails with the error of Anthropic (streamed: %s)', async (stream) => {
    respond = (response) => {
      response.writeHead(529, { 'content-type': 'application/json', 'retry-after': '3' });
      const error = { type: 'overloaded_error', message: 'Overloaded' };
      response.end(JSON.stringify({ type: 'error', error, request_id: 'req_1' }));
    };
    expect((await attempt(stream)).outcome).toMatchObject({
      kind: 'fault',
      fault: {
        code: 'upstream_error_status',
        httpStatus: 529,
        retryAfterMs: 3000,
        error: { type: 'overloaded_error', message: 'Overloaded', code: 'overloaded' },
      },
    });
  });
});
