import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Generator, startGenerator } from './handle.ts';
import type { Arrival, LoadSpec } from './spec.ts';

const TOKENS = ['a ', 'b ', 'c '];
const ALWAYS = new AbortController().signal;
const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const FRAMES = [
  chunk({ role: 'assistant' }),
  ...TOKENS.map((content) => chunk({ content })),
  chunk({}, 'stop'),
  'data: [DONE]\n\n',
];

let generator: Generator;
let server: Server | undefined;

beforeAll(async () => {
  generator = await startGenerator(ALWAYS);
});
afterAll(() => generator?.stop());

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function spec(origin: string, arrival: Arrival, stallMs = 0): LoadSpec {
  const asked = { path: '/chat', model: 'm', body: 'short', headers: {} } as const;
  return { origin, arrival, stallMs, tokens: TOKENS, ...asked };
}

const once3 = { kind: 'closed', concurrency: 3, maxRequests: 3, maxMs: 5_000 } as const;

it('a closed loop makes the requests it was told to, and no connection more than its users', async () => {
  let connections = 0;
  const origin = await serve((_request, response) => response.end(FRAMES.join('')));
  server?.on('connection', () => connections++);
  const arrival = { kind: 'closed', concurrency: 4, maxRequests: 101, maxMs: 5_000 } as const;
  const result = await generator.run(spec(origin, arrival), ALWAYS);
  expect(result).toMatchObject({ requests: 101, errors: 0, framesLost: 0, tokens: 303 });
  expect(result.firstToken.count).toBe(101);
  expect(connections).toBeLessThanOrEqual(4);
});

it('a stream that is cut counts as an error with the frames it lost', async () => {
  const origin = await serve((_request, response) => {
    response.write(FRAMES.slice(0, 3).join(''), () => response.destroy());
  });
  const result = await generator.run(spec(origin, once3), ALWAYS);
  expect(result).toMatchObject({ requests: 0, errors: 3, framesLost: 9 });
});

it('a stream that ends cleanly but early counts the same', async () => {
  const origin = await serve((_request, response) => response.end(FRAMES.slice(0, 4).join('')));
  const result = await generator.run(spec(origin, once3), ALWAYS);
  expect(result).toMatchObject({ requests: 0, errors: 3, framesLost: 6 });
});

it('a refusal and a dead address are errors that say why', async () => {
  const origin = await serve((_request, response) => response.writeHead(503).end('full'));
  const refused = await generator.run(spec(origin, once3), ALWAYS);
  expect(refused).toMatchObject({ requests: 0, errors: 3 });
  expect(refused.faults[0]).toBe('status 503: full');
  server?.closeAllConnections();
  server?.close();
  const dead = await generator.run(spec(origin, once3), ALWAYS);
  expect(dead.faults[0]).toMatch(/ECONNREFUSED/);
});

it('ramped streams keep account of gaps and of stalls among them', async () => {
  const origin = await serve((_request, response) => {
    response.write(FRAMES.slice(0, 2).join(''));
    // Far above what counts as a stall: what the reader is late with the beginning, the gap is shorter.
    setTimeout(() => response.end(FRAMES.slice(2).join('')), 1000);
  });
  const arrival = { kind: 'ramp', streams: 10, rampMs: 100 } as const;
  const result = await generator.run(spec(origin, arrival, 100), ALWAYS);
  expect(result).toMatchObject({ requests: 10, errors: 0, stalls: 10 });
  expect(result.gaps.count).toBe(20);
  expect(result.gaps.max).toBeGreaterThan(100);
});

it('an open loop sends at its rate whatever comes back', async () => {
  const waiting: ServerResponse[] = [];
  const origin = await serve((_request, response) => {
    // No answer before the last request: users that wait for theirs would never send it.
    if (waiting.push(response) < 20) return;
    for (const each of waiting) each.end(FRAMES.join(''));
  });
  const arrival = { kind: 'open', perSecond: 100, ms: 200 } as const;
  const result = await generator.run(spec(origin, arrival), ALWAYS);
  expect(result).toMatchObject({ requests: 20, errors: 0 });
  // The first one was due 190 ms before the last one was.
  expect(result.total.max).toBeGreaterThanOrEqual(190);
});

it('a run ends when its signal does', async () => {
  const origin = await serve(() => {});
  const ended = new AbortController();
  server?.once('request', () => ended.abort());
  await expect(generator.run(spec(origin, once3), ended.signal)).rejects.toThrow(/abort/i);
});
