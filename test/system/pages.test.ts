import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { once } from 'node:events';
import WebSocket from 'ws';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, open } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

// Who asks through something else: pages in a browser, and clients behind a proxy.

const app = 'https://app.example';
const evil = 'https://evil.example';
const models = { m: 'healthy:tokens=10' };
let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ admin: true, ingresses: 0, models });
});
afterAll(() => fleet?.close());
const keys = [
  { id: 'a', secret: 'secret-a' },
  { id: 'office', secret: 'secret-o', ips: ['203.0.113.0/24', '2001:db8::/32'] },
];
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });

const refusedUpgrade = async (url: string, headers: Record<string, string>): Promise<number> => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, { headers });
  socket.on('error', () => {});
  const [, { statusCode }] = (await once(socket, 'unexpected-response')) as [
    unknown,
    { statusCode: number },
  ];
  socket.terminate();
  return statusCode;
};

describe('with keys, pages and trusted proxies in the config', () => {
  beforeAll(() =>
    fleet.replaceIngress({
      keys,
      listen: { trustedProxies: ['127.0.0.0/8', '10.9.0.0/16'], cors: { origins: [app] } },
      limits: { socketAuth: '2s' },
    }),
  );

  const preflight = (origin: string, path = '/v1/chat/completions') =>
    call(`${fleet.url}${path}`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    });

  it('a page that is named may ask, and read every kind of answer', async () => {
    const asked = await preflight(app);
    expect(asked).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': app,
        'access-control-allow-methods': 'GET, POST, DELETE',
        'access-control-allow-headers': 'authorization,content-type',
      },
    });
    const headers = { ...bearer('secret-a'), origin: app };
    const post = (path: string, body: unknown) => call(`${fleet.url}${path}`, { headers, body });
    const job = await post('/v1/jobs', { body: chat('m') });
    const { id } = JSON.parse(job.text) as { id: string };
    for (const answer of [
      job,
      await post('/v1/chat/completions', chat('m')),
      await post('/v1/chat/completions', chat('m', { stream: true })),
      await post('/v1/chat/completions', chat('nothing')),
      await call(`${fleet.url}/v1/jobs/${id}/events`, { headers }),
      await call(`${fleet.url}/v1/models`, { headers: { origin: app } }),
    ]) {
      expect(answer.headers['access-control-allow-origin']).toBe(app);
      expect(answer.headers['access-control-expose-headers']).toContain('x-request-id');
      expect(answer.headers['vary']).toContain('Origin');
      expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    }
  });

  it('any other page may not read, and may not ask either', async () => {
    for (const origin of [evil, `${app}.evil.example`, 'null', 'http://app.example']) {
      const { headers } = await preflight(origin);
      expect(headers).not.toHaveProperty('access-control-allow-origin');
      const answer = await call(`${fleet.url}/v1/models`, {
        headers: { ...bearer('secret-a'), origin },
      });
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    }
    for (const path of ['/metrics', '/admin/queues', '/healthz']) {
      const { headers } = await call(`${fleet.url}${path}`, { headers: { origin: app } });
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    }
  });

  it('what is not there is still not there', async () => {
    const answer = await call(`${fleet.url}/v1/nothing`, { headers: bearer('secret-a') });
    expect(answer.status).toBe(404);
    expect(errorOf(answer)).toMatchObject({ code: 'unknown_url' });
  });

  it('a WebSocket opens for named pages and for who is no page', async () => {
    expect(await refusedUpgrade(fleet.url, { ...bearer('secret-a'), origin: evil })).toBe(403);
    expect(await refusedUpgrade(fleet.url, { origin: evil })).toBe(403);
    expect(await refusedUpgrade(fleet.url, { origin: 'null' })).toBe(403);
    expect(await refusedUpgrade(fleet.url, {})).toBe(401);
    expect(await refusedUpgrade(fleet.url, { ...bearer('wrong'), origin: app })).toBe(401);
    const good: Record<string, string>[] = [{ origin: app }, { origin: fleet.url }, {}];
    for (const headers of good) {
      const socket = await openSocket(fleet.url, { ...bearer('secret-a'), ...headers });
      socket.send({ type: 'ping' });
      await socket.next(({ type }) => type === 'pong');
      await socket.close();
    }
  });

  it("a page's WebSocket shows its key in the first message, and is served from then on", async () => {
    const socket = await openSocket(fleet.url, { origin: app });
    socket.send({ type: 'auth', key: 'secret-a' });
    socket.send({ type: 'create', ref: 'x', body: chat('m') });
    expect(await socket.next(({ ref }) => ref === 'x')).toMatchObject({ type: 'created' });
    await socket.next(({ type }) => type === 'done');
    expect(socket.frames[0]).toEqual({ type: 'authenticated' });
    socket.send({ type: 'auth', key: 'secret-o' });
    expect(await socket.next(({ type }) => type === 'error')).toMatchObject({
      error: { message: 'This socket has shown its key already.' },
    });
    await socket.close();
  });

  it.each([
    ['a wrong key', { type: 'auth', key: 'secret-x' }],
    ['a very long key', { type: 'auth', key: 'x'.repeat(1_000_000) }],
    ['a key that is no text', { type: 'auth', key: ['secret-a'] }],
    ['no key', { type: 'auth' }],
    ['another frame', { type: 'create', body: chat('m') }],
    ['what is no frame', 'hello'],
    ['bytes', Buffer.from('{"type":"auth","key":"secret-a"}')],
  ])('%s as the first message ends the socket', async (_what, frame) => {
    const socket = await openSocket(fleet.url, { origin: app });
    socket.send(frame);
    socket.send({ type: 'auth', key: 'secret-a' });
    socket.send({ type: 'create', ref: 'late', body: chat('m') });
    expect(await socket.closed).toMatchObject({ code: 1008 });
    expect(socket.frames).toMatchObject([{ type: 'error' }]);
    expect(socket.texts.join()).not.toContain('secret-');
  });

  it('a WebSocket that shows no key in time is ended', async () => {
    const socket = await openSocket(fleet.url, { origin: app });
    expect(await socket.closed).toMatchObject({ code: 1008 });
    expect(socket.frames).toMatchObject([{ type: 'error', error: { code: 'invalid_api_key' } }]);
  });

  it('a key in the URL is no key', async () => {
    const answer = await call(`${fleet.url}/v1/models?key=secret-a&api_key=secret-a`);
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain('secret-');
  });

  it('a very long key gets a clear refusal', async () => {
    const long = await call(`${fleet.url}/v1/models`, { headers: bearer('x'.repeat(8000)) });
    expect(long.status).toBe(401);
    const longer = await call(`${fleet.url}/v1/models`, { headers: bearer('x'.repeat(40_000)) });
    expect(longer.status).toBe(431);
  });

  it.each([
    ['203.0.113.7', 200],
    ['2001:db8::1', 200],
    ['198.51.100.1, 203.0.113.7', 200],
    ['203.0.113.7, 10.9.1.1', 200],
    ['203.0.113.7, 10.9.1.1, 127.0.0.1', 200],
    // What the client made up itself stands on the left.
    ['203.0.113.7, 198.51.100.1', 403],
    ['203.0.113.7, 198.51.100.1, 10.9.1.1', 403],
    ['203.0.113.7, unknown', 403],
    ['203.0.113.7:443', 200],
    ['[2001:db8::1]:443', 200],
    ['[2001:db9::1]:443', 403],
    ['[203.0.113.7', 403],
    ['x'.repeat(8000), 403],
    ['198.51.100.1', 403],
    ['', 403],
    [', ,', 403],
    ['::ffff:203.0.113.7', 200],
  ])('behind a trusted proxy, x-forwarded-for: %j is answered with %d', async (header, status) => {
    const answer = await call(`${fleet.url}/v1/models`, {
      headers: { ...bearer('secret-o'), 'x-forwarded-for': header },
    });
    expect(answer.status).toBe(status);
  });

  it('behind a trusted proxy, two x-forwarded-for are read as one', async () => {
    const from = async (...lines: string[]) => {
      const headers = { ...bearer('secret-o'), 'x-forwarded-for': lines };
      return (await call(`${fleet.url}/v1/models`, { headers })).status;
    };
    expect(await from('198.51.100.1', '203.0.113.7')).toBe(200);
    expect(await from('203.0.113.7', '10.9.1.1, 127.0.0.1')).toBe(200);
  });

  it('the address decides who is on loopback, too', async () => {
    const admin = (from: string) =>
      call(`${fleet.url}/admin/upstreams`, { headers: { 'x-forwarded-for': from } });
    expect((await admin('203.0.113.7')).status).toBe(403);
    expect((await admin('127.0.0.1')).status).toBe(200);
    // What does not tell for whom it asks asks for anybody.
    const silent = await call(`${fleet.url}/admin/upstreams`, {
      headers: { 'x-real-ip': '203.0.113.7' },
    });
    expect(silent.status).toBe(403);
    expect(errorOf(silent)).toMatchObject({ code: 'untrusted_proxy' });
  });

  it('refusals are counted by reason, and logged without what was shown', async () => {
    const samples = parsePrometheus((await call(`${fleet.url}/metrics`)).text);
    const refused = (labels: Record<string, string>) =>
      sumOf(samples, 'millrace_refusals_total', labels);
    expect(refused({ reason: 'address', key: 'office' })).toBeGreaterThanOrEqual(9);
    expect(refused({ reason: 'foreign_page' })).toBeGreaterThanOrEqual(4);
    expect(refused({ reason: 'unknown_key' })).toBeGreaterThan(2);
    expect(refused({ reason: 'no_key' })).toBeGreaterThan(2);
    const stderr = () => fleet.ingresses[0]?.stderr() ?? '';
    await expect.poll(stderr).toContain('"reason":"address","key":"office"');
    const log = stderr();
    expect(log).not.toContain('secret-');
    expect(log).not.toContain('xxxx');
  });
});

describe('with keys alone', () => {
  beforeAll(() => fleet.replaceIngress({ keys }));

  it.each(['x-forwarded-for', 'forwarded', 'x-real-ip', 'x-client-ip', 'cf-connecting-ip'])(
    'a forged %s is not believed',
    async (header) => {
      const value = header === 'forwarded' ? 'for=203.0.113.7' : '203.0.113.7';
      const headers = { ...bearer('secret-o'), [header]: value };
      expect((await call(`${fleet.url}/v1/models`, { headers })).status).toBe(403);
    },
  );

  it('no page may read answers, and none opens a WebSocket but of this server itself', async () => {
    const headers = { ...bearer('secret-a'), origin: app };
    const answer = await call(`${fleet.url}/v1/models`, { headers });
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    expect(await refusedUpgrade(fleet.url, { origin: app })).toBe(403);
    const socket = await openSocket(fleet.url, { origin: fleet.url });
    socket.send({ type: 'auth', key: 'secret-a' });
    await socket.next(({ type }) => type === 'authenticated');
    await socket.close();
  });

  it('an upgrade elsewhere does not get past the gate', async () => {
    const request = open(`${fleet.url}/v1/models`, {
      headers: {
        origin: fleet.url,
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      },
    });
    expect((await request.head).status).toBe(401);
    request.leave();
  });
});

describe('with neither keys nor an admin', () => {
  beforeAll(() => fleet.replaceIngress({ listen: { cors: { origins: [app] } } }));

  const post = (headers: Record<string, string>) =>
    call(`${fleet.url}/v1/chat/completions`, { headers, body: chat('m') });
  const board = '/admin/queues/api/queues';
  const codes = async (headers: Record<string, string>) => {
    const answers = [
      await post(headers),
      await call(`${fleet.url}/admin/upstreams`, { headers }),
      await call(`${fleet.url}${board}`, { headers }),
      await call(`${fleet.url}${board}/requests/clean/completed`, { method: 'PUT', headers }),
    ];
    return answers.map((answer) =>
      answer.status === 403 ? errorOf(answer).code : `${answer.status}`,
    );
  };
  const counted = async (reason: string) =>
    sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), 'millrace_refusals_total', {
      reason,
    });

  it.each<Record<string, string>>([
    { host: 'rebound.example:8080' },
    { host: 'rebound.example', origin: 'http://rebound.example' },
    { origin: evil },
    { origin: 'null' },
  ])('a page of another site gets nothing: %j', async (headers) => {
    const before = await counted('foreign_page');
    expect(await codes(headers)).toEqual(Array(4).fill('foreign_page'));
    expect(await counted('foreign_page')).toBe(before + 4);
  });

  it('a page that may use the API may not use the admin pages', async () => {
    const [api, ...admin] = await codes({ origin: app });
    expect(api).toBe('200');
    expect(admin).toEqual(Array(3).fill('foreign_page'));
  });

  it.each<Record<string, string>>([
    { 'x-forwarded-for': '203.0.113.7' },
    { 'x-forwarded-for': '127.0.0.1' },
    { forwarded: 'for=203.0.113.7' },
    { 'x-real-ip': '203.0.113.7' },
  ])('a proxy on this machine makes nobody a neighbour: %j', async (headers) => {
    const before = await counted('untrusted_proxy');
    expect(await codes(headers)).toEqual(Array(4).fill('untrusted_proxy'));
    expect(await refusedUpgrade(fleet.url, headers)).toBe(403);
    expect(await counted('untrusted_proxy')).toBe(before + 5);
    const { message } = errorOf(await post(headers));
    for (const name of ['listen.trustedProxies', "'keys'"]) expect(message).toContain(name);
    const admin = await call(`${fleet.url}/admin/upstreams`, { headers });
    expect(errorOf(admin).message).toContain("'admin'");
  });

  it('whoever is here is served', async () => {
    const { port } = new URL(fleet.url);
    expect((await codes({ host: `localhost:${port}` })).slice(0, 3)).toEqual(Array(3).fill('200'));
    const origin = `http://localhost:${port}`;
    expect((await codes({ origin })).slice(0, 3)).toEqual(Array(3).fill('200'));
  });
});

it('without keys, pages that the config names may use it, and no others', async () => {
  await fleet.replaceIngress({ listen: { cors: { origins: [app] } } });
  const from = (origin: string) =>
    call(`${fleet.url}/v1/chat/completions`, { headers: { origin }, body: chat('m') });
  const answer = await from(app);
  expect(answer).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': app } });
  expect(errorOf(await from(evil))).toMatchObject({ code: 'foreign_page' });
  expect(await refusedUpgrade(fleet.url, { origin: evil })).toBe(403);
  const socket = await openSocket(fleet.url, { origin: app });
  socket.send({ type: 'auth', key: 'any' });
  await socket.next(({ type }) => type === 'authenticated');
  await socket.close();
});
