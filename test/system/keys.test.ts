import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { EventSource } from 'eventsource';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { aliases, chat } from '../kit/api.ts';
import { eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { SendOptions } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';

const small = 'healthy:tokens=10';
const large = 'healthy:tokens=20';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });
const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    models: aliases(small, large),
    config: {
      admin: { user: 'ops', password: 'pass:word' },
      board: 'remove',
      keys: [
        { id: 'team-a', secret: 'secret-a', models: [small] },
        { id: 'team-b', sha256: sha256('secret-b') },
        { id: 'elsewhere', secret: 'secret-c', ips: ['10.0.0.0/8'] },
        { id: 'here', secret: 'secret-d', ips: ['127.0.0.0/8'] },
      ],
    },
  });
});
afterAll(() => fleet.close());

const ask = (path: string, headers: Record<string, string>, options: SendOptions = {}) =>
  call(`${fleet.url}${path}`, { ...options, headers });
const askChat = (headers: Record<string, string>, model = small) =>
  ask('/v1/chat/completions', headers, { body: chat(model) });

describe('a key', () => {
  it.each([
    ['as bearer token', bearer('secret-a')],
    ['as x-api-key', { 'x-api-key': 'secret-a' }],
    ['known by its digest only', bearer('secret-b')],
    ['from an address that it names', bearer('secret-d')],
  ])('%s lets in', async (_how, headers) => {
    expect((await askChat(headers)).status).toBe(200);
  });

  it.each([
    ['in the header of Google’s clients', '', { 'x-goog-api-key': 'secret-a' }, 200],
    ['in the URL, as of Google’s clients', '?key=secret-a', {}, 200],
    ['that is wrong, in the URL', '?key=secret-x', {}, 401],
  ])('%s is checked for the Gemini API', async (_how, query, headers, status) => {
    const body = { contents: [{ parts: [{ text: 'hello' }] }] };
    const path = `/v1beta/models/${small}:generateContent${query}`;
    const answer = await ask(path, headers, { body });
    expect(answer.status).toBe(status);
    const list = await ask(`/v1beta/models${query}`, headers);
    expect(list.status).toBe(status);
    const unknown = await ask(`/v1alpha/models/none${query}`, headers);
    expect(unknown.status).toBe(status === 200 ? 404 : status);
    // The URL of another API does not take it.
    const elsewhere = await ask(`/v1/chat/completions${query}`, {}, { body: chat(small) });
    expect(elsewhere.status).toBe(401);
  });

  it.each([
    ['that is missing', {}],
    ['that is wrong', bearer('secret-x')],
    ['that is wrong, as x-api-key', { 'x-api-key': 'secret-x' }],
    ['that is the digest itself', bearer(sha256('secret-b'))],
    ['in another scheme', basic('team-a', 'secret-a')],
  ])('%s gets 401 on every path', async (_how, headers) => {
    for (const answer of [
      await askChat(headers),
      await ask('/v1/jobs', headers, { body: { body: chat(small) } }),
      await ask('/v1/jobs/req_1', headers),
      await ask('/v1/jobs/req_1/events', headers),
      await ask('/v1/jobs/req_1', headers, { method: 'DELETE' }),
      await ask('/v1/models', headers),
      await ask('/v1/ws', headers),
    ]) {
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
      expect(errorOf(answer)).toMatchObject({
        type: 'invalid_request_error',
        code: 'invalid_api_key',
      });
    }
  });

  it('from an address that it does not name gets 403', async () => {
    const answer = await askChat(bearer('secret-c'));
    expect(answer.status).toBe(403);
    expect(errorOf(answer)).toMatchObject({ code: 'address_not_allowed' });
  });

  it('is never shown again', async () => {
    const answers = [await askChat(bearer('secret-x')), await askChat(bearer('secret-c'))];
    for (const { text } of answers) expect(text).not.toContain('secret-');
    for (const { stderr } of [...fleet.ingresses, ...fleet.workers]) {
      expect(stderr()).not.toContain('secret-');
    }
    const redis = fleet.redis.connect();
    await redis.ping();
    for (const key of await redis.keys('*')) {
      // One that has expired meanwhile has no text.
      expect((await redis.dump(key)) ?? '').not.toContain('secret-');
    }
    for (const { headers } of fleet.primary.requests) {
      expect(headers).not.toHaveProperty('authorization');
    }
  });

  it('works as the apiKey of the SDK, and a wrong one is its AuthenticationError', async () => {
    const client = (apiKey: string) =>
      new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey, maxRetries: 0 });
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const answer = await client('secret-a').chat.completions.create({ model: small, messages });
    expect(answer.choices).toHaveLength(1);
    const refused = client('secret-x').chat.completions.create({ model: small, messages });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(refused).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
  });

  it('is asked for before a WebSocket opens', async () => {
    const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/v1/ws`);
    const [, response] = (await once(socket, 'unexpected-response')) as [
      unknown,
      { statusCode: number },
    ];
    expect(response.statusCode).toBe(401);
    socket.on('error', () => {});
    socket.terminate();
    const good = await openSocket(fleet.url, bearer('secret-a'));
    good.send({ type: 'ping' });
    await good.next(({ type }) => type === 'pong');
    await good.close();
  });
});

describe("a key's models", () => {
  it('are all that it sees', async () => {
    const listed = async (secret: string) => {
      const list = jsonOf(await ask('/v1/models', bearer(secret)));
      return (list as { data: { id: string }[] }).data.map(({ id }) => id);
    };
    expect(await listed('secret-a')).toEqual([small]);
    expect((await listed('secret-b')).sort()).toEqual([small, large].sort());
    const path = (model: string) => `/v1/models/${encodeURIComponent(model)}`;
    expect((await ask(path(small), bearer('secret-a'))).status).toBe(200);
    expect((await ask(path(large), bearer('secret-a'))).status).toBe(404);
  });

  it('are all that it may ask, on every way in', async () => {
    const headers = bearer('secret-a');
    const unknown = errorOf(await askChat(headers, 'nothing'));
    const answers = [
      await askChat(headers, large),
      await ask('/v1/jobs', headers, { body: { body: chat(large) } }),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(404);
      // The same words as for one that is not there.
      expect(errorOf(answer)).toEqual({
        ...unknown,
        message: unknown.message.replace('nothing', large),
        request_id: answer.headers['x-request-id'],
      });
    }
    const socket = await openSocket(fleet.url, headers);
    socket.send({ type: 'create', body: chat(large) });
    expect(await socket.next(({ type }) => type === 'error')).toMatchObject({
      error: { code: 'model_not_found' },
    });
    await socket.close();
  });
});

describe("somebody else's request", () => {
  const makeJob = async (secret: string): Promise<string> => {
    const answer = await ask('/v1/jobs', bearer(secret), {
      body: { body: chat(small, { stream: true }), metadata: { of: secret } },
    });
    return (jsonOf(answer) as { id: string }).id;
  };

  it('does not exist over HTTP', async () => {
    const id = await makeJob('secret-a');
    const missing = errorOf(await ask(`/v1/jobs/${id.slice(0, -4)}ffff`, bearer('secret-b')));
    for (const [method, path] of [
      ['GET', `/v1/jobs/${id}`],
      ['GET', `/v1/jobs/${id}/events`],
      ['DELETE', `/v1/jobs/${id}`],
    ] as const) {
      const answer = await ask(path, bearer('secret-b'), { method });
      expect(answer.status).toBe(404);
      expect(errorOf(answer)).toMatchObject({ code: missing.code, param: missing.param });
    }
    const events = await ask(`/v1/jobs/${id}/events`, bearer('secret-a'));
    expect(eventsOf(events.text).at(-1)?.event).toBe('done');
  });

  it('does not exist over a WebSocket', async () => {
    const id = await makeJob('secret-a');
    const socket = await openSocket(fleet.url, bearer('secret-b'));
    for (const type of ['subscribe', 'cancel']) {
      socket.send({ type, id, ref: type });
      expect(await socket.next((frame) => frame.ref === type)).toMatchObject({
        type: 'error',
        id,
        error: { code: 'job_not_found' },
      });
    }
    await socket.close();
  });

  it('of a synchronous call cannot be resumed', async () => {
    const answer = await askChat(bearer('secret-b'));
    const path = `/v1/jobs/${String(answer.headers['x-request-id'])}`;
    expect((await ask(path, bearer('secret-a'))).status).toBe(404);
    expect((await ask(path, bearer('secret-b'))).status).toBe(200);
  });

  it('can be read and cancelled by an admin', async () => {
    const id = await makeJob('secret-a');
    const admin = basic('ops', 'pass:word');
    const events = await ask(`/v1/jobs/${id}/events`, admin);
    expect(eventsOf(events.text).at(-1)?.event).toBe('done');
    expect(jsonOf(await ask(`/v1/jobs/${id}`, admin))).toMatchObject({ status: 'completed' });
    const cancelled = await ask(`/v1/jobs/${id}`, admin, { method: 'DELETE' });
    expect(jsonOf(cancelled)).toMatchObject({ id, status: 'completed' });
  });
});

describe('the admin pages', () => {
  // Wrong passwords slow their network, which is that of all tests, until it shows the right one.
  beforeEach(async () => {
    const body = { user: 'ops', password: 'pass:word' };
    await ask('/admin/session', {}, { body });
  });

  it.each([
    ['nothing', {}],
    ['a key of the API', bearer('secret-b')],
    ['a wrong password', basic('ops', 'password')],
    ['a wrong user', basic('root', 'pass:word')],
    ['half of the password', basic('ops', 'pass')],
    ['no password', basic('ops', '')],
    ['what is not base64', { authorization: 'Basic ###' }],
  ])('refuse %s', async (_what, headers) => {
    const board = ['/admin/queues', '/admin/queues/', '/admin/queues/api/queues'];
    for (const path of [...board, '/admin/upstreams']) {
      const answer = await ask(path, headers);
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toBe('Basic realm="millrace"');
      expect(errorOf(answer)).toMatchObject({ code: 'admin_only' });
    }
  });

  it('show Bull Board to the admin', async () => {
    const admin = basic('ops', 'pass:word');
    const page = await ask('/admin/queues', admin);
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    expect(page.text).toContain('Millrace');
    await askChat(bearer('secret-b'));
    expect(jsonOf(await ask('/admin/queues/api/queues', admin))).toMatchObject({
      queues: [{ counts: { completed: expect.toSatisfy((count: number) => count > 0) } }],
    });
  });

  it.each([
    ['same-origin', 200],
    ['none', 200],
    [undefined, 200],
    ['same-site', 403],
    ['cross-site', 403],
  ])('take a press of a button from a page that is %s with %d', async (site, status) => {
    const headers = { ...basic('ops', 'pass:word'), ...(site && { 'sec-fetch-site': site }) };
    const press = `/admin/queues/api/queues/requests/clean/completed`;
    expect((await ask(press, headers, { method: 'PUT' })).status).toBe(status);
    expect((await ask('/admin/queues', headers)).status).toBe(200);
  });

  it.each([
    ['http://evil.example', undefined, 403],
    ['null', undefined, 403],
    ['http://evil.example', 'none', 403],
    ['its own', undefined, 200],
    // A browser's word, where a proxy in between changed the host.
    ['http://console.example', 'same-origin', 200],
  ])('take a press of a button by a page of %s (%s) with %d', async (page, site, status) => {
    const origin = page === 'its own' ? new URL(fleet.url).origin : page;
    const headers = {
      ...basic('ops', 'pass:word'),
      origin,
      ...(site && { 'sec-fetch-site': site }),
    };
    const press = `/admin/queues/api/queues/requests/clean/completed`;
    expect((await ask(press, headers, { method: 'PUT' })).status).toBe(status);
    expect((await ask('/admin/queues', headers)).status).toBe(200);
  });

  it("lend their password to no other site's page, on any route", async () => {
    const headers = { ...basic('ops', 'pass:word'), origin: 'http://evil.example' };
    const job = await ask('/v1/jobs', bearer('secret-a'), { body: { body: chat(small) } });
    const path = `/v1/jobs/${(jsonOf(job) as { id: string }).id}`;
    const cancel = await ask(path, headers, { method: 'DELETE' });
    expect(cancel.status).toBe(403);
    expect(errorOf(cancel)).toMatchObject({ code: 'foreign_page' });
    const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/v1/ws`, { headers });
    const [, refusal] = (await once(socket, 'unexpected-response')) as [
      unknown,
      { statusCode: number },
    ];
    expect(refusal.statusCode).toBe(403);
    socket.on('error', () => {}).terminate();
    const own = { ...headers, origin: new URL(fleet.url).origin };
    expect((await ask(path, own, { method: 'DELETE' })).status).toBe(200);
  });

  it('show the workers to the admin', async () => {
    const answer = await ask('/admin/upstreams', basic('ops', 'pass:word'));
    expect(answer.status).toBe(200);
    expect(jsonOf(answer)).toMatchObject({ workers: expect.any(Array) });
  });
});

describe('a read token', () => {
  const makeJob = async () => {
    const made = await ask('/v1/jobs', bearer('secret-a'), {
      body: { body: chat(small, { stream: true }) },
    });
    return (jsonOf(made) as { id: string }).id;
  };
  const askToken = (id: string, headers: Record<string, string>, body?: unknown) =>
    ask(`/v1/jobs/${id}/token`, headers, { method: 'POST', body });
  type Token = { token: string; expires_at: number; events_url: string };

  it('lets an EventSource read the stream of a key without it, and nothing else', async () => {
    const id = await makeJob();
    const made = await askToken(id, bearer('secret-a'));
    expect(made).toMatchObject({ status: 201, headers: { 'cache-control': 'no-store' } });
    const { token, expires_at: expiresAt, events_url: url } = jsonOf(made) as Token;
    expect(expiresAt - Date.now() / 1000).toBeGreaterThan(500);
    const source = new EventSource(`${fleet.url}${url}`);
    const [done] = (await once(source as unknown as EventTarget, 'done')) as [MessageEvent];
    source.close();
    expect(JSON.parse(String(done.data))).toMatchObject({ status: 'completed' });

    const other = await makeJob();
    for (const [method, path] of [
      ['GET', `/v1/jobs/${other}/events`],
      ['GET', `/v1/jobs/${id}`],
      ['DELETE', `/v1/jobs/${id}`],
      ['POST', `/v1/jobs/${id}/token`],
      ['GET', '/v1/models'],
    ] as const) {
      const answer = await ask(`${path}?token=${token}`, {}, { method });
      expect([path, answer.status]).toEqual([path, 401]);
    }
    // With a key, that counts.
    expect((await ask(url, bearer('secret-x'))).status).toBe(401);
    expect((await ask(url, bearer('secret-b'))).status).toBe(404);
  });

  it('ends', async () => {
    const id = await makeJob();
    const { events_url: url } = jsonOf(
      await askToken(id, bearer('secret-a'), { expires_in: '1s' }),
    ) as Token;
    await expect.poll(async () => (await ask(url, {})).status, { interval: 100 }).toBe(401);
    expect(errorOf(await ask(url, {})).message).toContain('expired');
  });

  it.each([{ expires_in: '0s' }, { expires_in: '25h' }, { expires_in: 60 }, { ttl: '1m' }])(
    'is not made with %j',
    async (body) => {
      expect((await askToken(await makeJob(), bearer('secret-a'), body)).status).toBe(400);
    },
  );

  it("is not made for another key's stream", async () => {
    expect((await askToken(await makeJob(), bearer('secret-b'))).status).toBe(404);
  });
});

describe('health', () => {
  it('needs no key', async () => {
    expect((await ask('/healthz', {})).status).toBe(200);
    expect((await ask('/readyz', {})).status).toBe(200);
    expect((await ask('/metrics', {})).status).toBe(200);
  });
});

const outside = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === 'IPv4' && !address.internal)?.address;

// Where the machine has no other address than loopback, keys.test.ts of the gate has to do.
describe.runIf(outside !== undefined)('without keys, on every address of the machine', () => {
  let open: Fleet;
  beforeAll(async () => {
    open = await startFleet({
      admin: true,
      models: aliases(small),
      config: { listen: { host: '0.0.0.0' } },
    });
  });
  afterAll(() => open.close());
  const at = (host: string, path: string) => `http://${host}:${new URL(open.url).port}${path}`;

  it('loopback is served', async () => {
    const answer = await call(at('127.0.0.1', '/v1/chat/completions'), { body: chat(small) });
    expect(answer.status).toBe(200);
    expect((await call(at('127.0.0.1', '/admin/queues'))).status).toBe(200);
  });

  it('nobody else is, whatever headers say', async () => {
    const before = open.primary.requests.length;
    const headers = { 'x-forwarded-for': '127.0.0.1', host: 'localhost', ...bearer('any') };
    for (const path of [
      '/v1/models',
      '/v1/jobs/req_1',
      '/v1/ws',
      '/admin/queues',
      '/admin/upstreams',
    ]) {
      const answer = await call(at(outside ?? '', path), { headers });
      expect(answer.status).toBe(403);
      expect(errorOf(answer)).toMatchObject({ code: 'loopback_only' });
    }
    const chatting = await call(at(outside ?? '', '/v1/chat/completions'), {
      headers,
      body: chat(small),
    });
    expect(chatting.status).toBe(403);
    expect(open.primary.requests).toHaveLength(before);
  });
});
