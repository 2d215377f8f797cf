import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startSimulator } from '../../apps/simulator/src/index.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, open } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';

// Every request that ended has one line, which an operator finds by the id that its client has.

let fleet: Fleet;
const secret = 'secret-of-team-a';
const providerKey = 'sk-provider-4f9a1c77e2d05b38';
const level = process.env['LOG_LEVEL'];
/** A provider that wants a key; alias → its behaviour. */
let keyed: Simulator;
const faulty: Record<string, string> = Object.fromEntries(
  [
    'healthy:tokens=5',
    'status:code=401,echo=1',
    'status:code=400,echo=1',
    'status:code=429,echo=1',
    'status:code=500,echo=1',
    'status:code=502,body=html,echo=1',
    'json-error-200:echo=1',
    'html-200',
    'error-first-event:echo=1',
    'error-in-chunk:after=2,echo=1',
    'cut:after=2',
    'reset-before-headers',
    'malformed-event:after=2',
  ].map((model, index) => [`keyed-${index}`, model]),
);
/** USD per million tokens. */
const price = { input: 2, output: 10 };
beforeAll(async () => {
  process.env['LOG_LEVEL'] = 'info';
  keyed = await startSimulator({ name: 'keyed' });
  fleet = await startFleet({
    admin: true,
    models: {
      m: 'healthy:tokens=10',
      long: { targets: [{ provider: 'primary', model: 'healthy:tokens=3000,pace=10', price }] },
      cut: { targets: [{ provider: 'primary', model: 'cut:after=5' }], continuation: 'off' },
      rescued: {
        targets: [
          { provider: 'primary', model: 'cut:after=40', price },
          { provider: 'backup', model: 'prefill', prefill: true, price },
        ],
      },
      ...Object.fromEntries(
        Object.entries(faulty).map(([alias, model]) => [
          alias,
          { targets: [{ provider: 'keyed', model }], maxWait: '0s', continuation: 'off' },
        ]),
      ),
    },
    config: {
      keys: [{ id: 'a', secret }],
      providers: {
        keyed: {
          api: 'openai',
          baseUrl: `${keyed.url}/v1`,
          apiKey: providerKey,
          breaker: { enabled: false },
          check: { kind: 'off' },
        },
      },
    },
  });
});
afterAll(async () => {
  if (level === undefined) delete process.env['LOG_LEVEL'];
  else process.env['LOG_LEVEL'] = level;
  await fleet.close();
  await keyed.close();
});

type Line = Record<string, unknown> & { level: number; msg?: string; id?: string };

const warn = 40;
const info = 30;
const as = { authorization: `Bearer ${secret}` };
const completions = () => `${fleet.url}/v1/chat/completions`;

function allLines(msg: string, role: 'ingresses' | 'workers' = 'ingresses'): Line[] {
  const text = fleet[role].map(({ stderr }) => stderr()).join('');
  const lines = text.split('\n').flatMap((one) => (one ? [JSON.parse(one) as Line] : []));
  return lines.filter((line) => line.msg === msg);
}

/** The lines of a role's log about one id. */
const linesOf = (role: 'ingresses' | 'workers', msg: string, id: string | undefined): Line[] =>
  allLines(msg, role).filter((line) => line.id === id);

/** The one line of the request with this id, as soon as it is there. */
async function lineOf(id: unknown): Promise<Line> {
  await expect.poll(() => linesOf('ingresses', 'request', String(id))).toHaveLength(1);
  return linesOf('ingresses', 'request', String(id))[0] as Line;
}

it('tells who asked, for what, and how it ended', async () => {
  const { headers } = await call(completions(), { headers: as, body: chat('m') });
  const id = headers['x-request-id'];
  expect(await lineOf(id)).toMatchObject({
    level: info,
    method: 'POST',
    path: '/v1/chat/completions',
    status: 200,
    key: 'a',
    model: 'm',
    outcome: 'completed',
    attempts: 1,
    ms: expect.any(Number),
    served_by: 'primary/healthy:tokens=10',
    input_tokens: expect.any(Number),
    output_tokens: 10,
    cached_tokens: 0,
    reasoning_tokens: 0,
    // Its target has no price in the config.
    cost: null,
  });
  await expect.poll(() => linesOf('workers', 'run', String(id))).toHaveLength(1);
  expect(linesOf('workers', 'run', String(id))[0]).toMatchObject({
    level: info,
    run: 1,
    model: 'm',
    outcome: 'completed',
    served_by: 'primary/healthy:tokens=10',
    attempts: 1,
    output_tokens: 10,
    cost: null,
  });
});

it('tells what a rescued stream used and cost in all of its attempts, and when its first text was sent', async () => {
  const body = chat('rescued', { stream: true });
  const { headers } = await call(completions(), { headers: as, body });
  const line = await lineOf(headers['x-request-id']);
  expect(line).toMatchObject({
    outcome: 'completed',
    attempts: 2,
    served_by: 'backup/prefill',
    first_token_ms: expect.any(Number),
  });
  const { ms, first_token_ms, input_tokens, output_tokens, cost } = line as unknown as Record<
    string,
    number
  >;
  expect(first_token_ms).toBeLessThanOrEqual(ms ?? 0);
  expect(output_tokens).toBeGreaterThanOrEqual(60);
  // USD, by the prices in the config: both targets have the same.
  expect(cost).toBeCloseTo(((input_tokens ?? 0) * 2 + (output_tokens ?? 0) * 10) / 1e6, 9);
  await expect.poll(() => linesOf('workers', 'run', line.id)).toHaveLength(1);
  expect(linesOf('workers', 'run', line.id)[0]).toMatchObject({
    attempts: 2,
    input_tokens,
    output_tokens,
    cost,
  });
});

it('tells what a job used, although no client waits for it', async () => {
  const { text } = await call(`${fleet.url}/v1/jobs`, {
    headers: as,
    body: { endpoint: '/v1/chat/completions', body: chat('m') },
  });
  const { id } = JSON.parse(text) as { id: string };
  await expect.poll(() => linesOf('workers', 'run', id)).toHaveLength(1);
  expect(linesOf('workers', 'run', id)[0]).toMatchObject({
    key: 'a',
    outcome: 'completed',
    output_tokens: 10,
  });
});

it.each([
  ['success', 'healthy:tokens=5'],
  ['a rejected key', 'status:code=401,echo=1'],
  ['a rejected request', 'status:code=400,echo=1'],
  ['a rate limit', 'status:code=429,echo=1'],
  ['a failing provider', 'status:code=500,echo=1'],
  ['an error page', 'status:code=502,body=html,echo=1'],
  ['an error with status 200', 'json-error-200:echo=1'],
  ['a page of a proxy', 'html-200'],
  ['an error as first event', 'error-first-event:echo=1'],
  ['an error in the stream', 'error-in-chunk:after=2,echo=1'],
  ['a cut', 'cut:after=2'],
  ['a reset before the head', 'reset-before-headers'],
  ['an answer that is no JSON', 'malformed-event:after=2'],
])('no line at info has a prompt, an answer or a key: %s', async (_, model) => {
  const words = `words-${randomUUID()}`;
  for (const stream of [true, false]) {
    const alias = Object.entries(faulty).find(([, one]) => one === model)?.[0] ?? '';
    const { headers } = await call(completions(), {
      headers: as,
      body: { model: alias, stream, messages: [{ role: 'user', content: words }] },
    });
    const { id } = await lineOf(headers['x-request-id']);
    await expect.poll(() => linesOf('workers', 'run', id)).toHaveLength(1);
  }
  const sent = keyed.requests.filter((one) => one.model === model).map(({ rawBody }) => rawBody);
  // After a rate limit it is not asked again.
  expect(sent).not.toEqual([]);
  for (const body of sent) expect(body).toContain(words);
  const log = [...fleet.ingresses, ...fleet.workers].map(({ stderr }) => stderr()).join('');
  for (const part of [words, secret, providerKey, providerKey.slice(3, 15), providerKey.slice(-8)])
    expect(log.split('\n').filter((line) => line.includes(part))).toEqual([]);
  // What the simulator answers with.
  expect(log).not.toMatch(/"content"/);
});

it('warns of a stream that failed after its head was sent, by the code that its reader got', async () => {
  const body = chat('cut', { stream: true });
  const { status, headers, text } = await call(completions(), { headers: as, body });
  expect({ status, isCut: text.includes('upstream_failed_mid_stream') }).toEqual({
    status: 200,
    isCut: true,
  });
  const line = await lineOf(headers['x-request-id']);
  expect(line).toMatchObject({
    level: warn,
    status: 200,
    outcome: 'failed',
    code: 'upstream_failed_mid_stream',
  });
});

/** The line of a request whose attempt had not ended: what it used is unknown, and not 0. */
function expectUnknownCost(line: Line, outcome: string): void {
  expect(line).toMatchObject({ level: info, outcome, attempts: 1, cost: null });
  for (const name of ['input_tokens', 'cached_tokens', 'output_tokens', 'reasoning_tokens']) {
    expect(line).not.toHaveProperty(name);
  }
}

it('has a line without tokens and cost for a client that left', async () => {
  const stream = open(completions(), { headers: as, body: chat('long', { stream: true }) });
  const { headers } = await stream.head;
  await stream.count(1);
  stream.leave();
  expectUnknownCost(await lineOf(headers['x-request-id']), 'left');
});

it.each(['left', 'cancelled'])(
  'has a line without tokens and cost for a request of a WebSocket that was %s',
  async (outcome) => {
    const socket = await openSocket(fleet.url, as);
    socket.send({ type: 'create', body: chat('long', { stream: true }) });
    const { id } = await socket.next(({ type }) => type === 'chunk');
    if (outcome === 'cancelled') socket.send({ type: 'cancel', id });
    else socket.leave();
    expectUnknownCost(await lineOf(id), outcome);
    socket.leave();
  },
);

it('has the time of the first text of an answer that its reader got in one piece', async () => {
  const options = {
    headers: { ...as, 'idempotency-key': randomUUID() },
    body: chat('m', { stream: true }),
  };
  const first = await call(completions(), options);
  const again = await call(completions(), options);
  expect(again.headers['idempotent-replayed']).toBe('true');
  expect(again.headers['x-request-id']).toBe(first.headers['x-request-id']);
  await expect
    .poll(() => linesOf('ingresses', 'request', String(first.headers['x-request-id'])))
    .toMatchObject([
      { first_token_ms: expect.any(Number) },
      { first_token_ms: expect.any(Number) },
    ]);
});

it('has 499 for a client that left before it was sent a status', async () => {
  const body = chat('long', { user: 'left-early' });
  const whole = open(completions(), { headers: as, body });
  await fleet.primary.waitFor((one) => JSON.stringify(one.body).includes('left-early'));
  whole.leave();
  await expect
    .poll(() => allLines('request').findLast(({ status }) => status === 499))
    .toMatchObject({ level: info, model: 'long', outcome: 'left' });
});

it('has one line for a request whose body was no HTTP, by the id of its answer', async () => {
  const { hostname, port } = new URL(fleet.url);
  const before = allLines('request').length;
  const socket = connect(Number(port), hostname).setEncoding('utf8');
  const head = `Host: h\r\nAuthorization: ${as.authorization}\r\nContent-Type: application/json`;
  socket.write(`POST /v1/jobs HTTP/1.1\r\n${head}\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n`);
  const [answer] = (await once(socket, 'data')) as [string];
  socket.destroy();
  expect(await lineOf(/^x-request-id: (\S+)/m.exec(answer)?.[1])).toMatchObject({
    level: warn,
    path: '/v1/jobs',
    status: 400,
    key: 'a',
    code: 'invalid_http',
    outcome: 'failed',
  });
  expect(allLines('request')).toHaveLength(before + 1);
});

it.each<[string, string, Parameters<typeof call>[1], Record<string, unknown>]>([
  ['no key', '/v1/models', {}, { status: 401, code: 'invalid_api_key' }],
  [
    'an unknown model',
    '/v1/chat/completions',
    { headers: as, body: chat('none') },
    { status: 404, code: 'model_not_found', key: 'a', model: 'none' },
  ],
  [
    'a body that is no JSON',
    '/v1/jobs',
    { headers: { ...as, 'content-type': 'application/json' }, body: Buffer.from('{') },
    { status: 400, code: 'invalid_json', key: 'a' },
  ],
  ['a path that nothing serves', '/v2/x?key=no', { headers: as }, { status: 404, path: '/v2/x' }],
  ['a URL that cannot be decoded', '/v1/jobs/%', { headers: as }, { code: 'invalid_url' }],
  [
    'an admin page',
    '/admin/queues',
    { headers: { 'x-forwarded-for': '1.2.3.4' } },
    { status: 403 },
  ],
  [
    'a change on an admin page',
    '/admin/queues/api/queues/pause',
    { method: 'PUT', body: {} },
    { status: 405 },
  ],
])('warns of a refusal: %s', async (_, path, options, expected) => {
  const { headers } = await call(`${fleet.url}${path}`, options);
  expect(await lineOf(headers['x-request-id'])).toMatchObject({
    level: warn,
    outcome: 'failed',
    ...expected,
  });
});

it('has lines for the requests of a WebSocket, for what it refused there, and for itself', async () => {
  const socket = await openSocket(fleet.url, as);
  socket.send({ type: 'create', body: chat('m', { stream: true }) });
  const { id } = await socket.next(({ type }) => type === 'done');
  expect(await lineOf(id)).toMatchObject({
    level: info,
    path: '/v1/ws',
    frame: 'create',
    key: 'a',
    model: 'm',
    outcome: 'completed',
    attempts: 1,
  });
  socket.send({ type: 'create', body: chat('none') });
  const { error } = await socket.next(({ type }) => type === 'error');
  expect(await lineOf(error?.request_id ?? '')).toMatchObject({
    level: warn,
    frame: 'create',
    key: 'a',
    code: 'model_not_found',
  });
  await socket.close();
  await expect.poll(() => fleet.ingresses[0]?.stderr()).toContain('"status":101');
});

it('has no line for probes, and no secret in any', async () => {
  await call(`${fleet.url}/healthz`);
  const { headers } = await call(completions(), { headers: as, body: chat('m') });
  await lineOf(headers['x-request-id']);
  const log = fleet.ingresses.map(({ stderr }) => stderr()).join('');
  expect(log).not.toContain('/healthz');
  expect(log).not.toContain(secret);
  expect(log).not.toContain('key=no');
});

it('has a line for what was no HTTP', async () => {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname).end('HELO\r\n\r\n').setEncoding('utf8');
  const [head] = (await once(socket, 'data')) as [string];
  expect(await lineOf(/^x-request-id: (\S+)/m.exec(head)?.[1])).toMatchObject({
    level: warn,
    status: 400,
    code: 'invalid_http',
    outcome: 'failed',
    address: '127.0.0.1',
  });
});
