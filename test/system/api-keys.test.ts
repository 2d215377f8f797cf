import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { ask, askWhole, follow } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { Ended, SendOptions } from '../kit/http.ts';
import { chunks, readPlain } from '../kit/judge.ts';
import { openSocket } from '../kit/socket.ts';

// Keys that operators create while the fleet runs, on two ingresses. The rules of each field are in apps/admin/src/keys.

const ops = { authorization: `Basic ${Buffer.from('ops:pass').toString('base64')}` };
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });
/** It is never read to its end. */
const endless = 'healthy:tokens=100000,pace=20';

let fleet: Fleet;
let ids = 0;

beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    ingresses: 2,
    models: { small: 'healthy:tokens=5', large: 'healthy:tokens=6', endless },
    config: {
      admin: { user: 'ops', password: 'pass' },
      keys: [{ id: 'of-config', secrets: ['secret-one', 'secret-two'], models: ['small'] }],
    },
  });
});
afterAll(() => fleet?.close());
beforeEach(() => {
  fleet.primary.reset();
});

const admin = (method: string, path: string, body?: object, options: SendOptions = {}) =>
  call(`${fleet.url}/admin/keys${path}`, {
    method,
    headers: ops,
    ...(body && { body }),
    ...options,
  });

type KeyView = { id: string; secret: string; status: string; secrets: unknown[]; models: string[] };

async function change(method: string, path: string, body?: object): Promise<KeyView> {
  const answer = await admin(method, path, body);
  expect([method, path, answer.status]).toEqual([
    method,
    path,
    method === 'POST' && path === '' ? 201 : 200,
  ]);
  return jsonOf(answer) as KeyView;
}

const urls = () => fleet.ingresses.map(({ url }) => url);

const models = (url: string, secret: string) =>
  call(`${url}/v1/models`, { headers: bearer(secret) });
const codeOf = (answer: Ended) => (answer.status === 200 ? undefined : errorOf(answer).code);

/** Waits until every ingress knows of a change: their answers to this secret have this code, or are none of an error. */
async function expectEverywhere(secret: string, code: string | undefined): Promise<void> {
  for (const url of urls()) {
    await expect.poll(async () => codeOf(await models(url, secret))).toBe(code);
  }
}

/** A new key that every ingress knows. */
async function createKey(settings: object = {}): Promise<KeyView> {
  const key = await change('POST', '', { id: `key-${(ids += 1)}`, ...settings });
  await expectEverywhere(key.secret, undefined);
  return key;
}

/** One reader of each kind at an ingress, each of which has shown something. */
async function openReaders(url: string, secret: string) {
  const headers = bearer(secret);
  const stream = ask(url, 'endless', { headers });
  const whole = askWhole(url, 'endless', { headers });
  const made = await call(`${url}/v1/jobs`, {
    headers,
    body: { body: chat('endless', { stream: true }) },
  });
  const { id: job } = jsonOf(made) as { id: string };
  const events = follow(url, job, undefined, { headers });
  const socket = await openSocket(url, headers);
  socket.send({ type: 'create', ref: 'r', body: chat('endless', { stream: true }) });
  socket.send({ type: 'subscribe', id: job });
  await Promise.all([
    stream.until(chunks(3)),
    events.until(({ events: all }) => all.some(({ event }) => event === 'chunk')),
    socket.next(({ type, id }) => type === 'chunk' && id === job),
    socket.next(({ type, id }) => type === 'chunk' && id !== job),
  ]);
  return { stream, whole, job, events, socket };
}

/** All of them end with one clear error. */
async function expectEnded(readers: Awaited<ReturnType<typeof openReaders>>, code: string) {
  const { stream, whole, job, events, socket } = readers;
  expect(await readPlain(stream)).toMatchObject({ end: 'error', error: { code } });
  const answer = await whole.ended;
  expect([answer.status, errorOf(answer).code]).toEqual([401, code]);
  const ended = await events.ended;
  expect(ended.how).toBe('complete');
  expect(ended.events.at(-1)).toMatchObject({ event: 'error' });
  expect(ended.events.at(-1)?.data).toContain(`"code":"${code}"`);
  expect(await socket.closed).toMatchObject({ code: 1008 });
  const errors = socket.frames.filter(({ type }) => type === 'error');
  expect(errors.map(({ error }) => error?.code)).toEqual([code, code, code]);
  // One for each request, and the last one for the socket itself.
  const created = socket.frames.find(({ type }) => type === 'created');
  expect(errors.map(({ id }) => id)).toEqual(expect.arrayContaining([created?.id, job, undefined]));
  expect(socket.frames.at(-1)).not.toHaveProperty('id');
}

/** Requests of this model that their provider still answers. */
const running = () =>
  fleet.primary.requests.filter(({ closedAt }) => closedAt === undefined).length;

/** All that Redis holds under a name. A DUMP would not do: it compresses. */
async function textIn(redis: Redis, key: string): Promise<string> {
  const readers: Record<string, () => Promise<unknown>> = {
    string: () => redis.get(key),
    hash: () => redis.hgetall(key),
    list: () => redis.lrange(key, 0, -1),
    set: () => redis.smembers(key),
    zset: () => redis.zrange(key, 0, '-1'),
    stream: () => redis.xrange(key, '-', '+'),
    // It has ended since.
    none: async () => undefined,
  };
  const type = await redis.type(key);
  const read = readers[type];
  if (!read) throw new Error(`a record of the type ${type}`);
  return `${key} ${JSON.stringify(await read())}`;
}

test('a created key is valid on every ingress, over HTTP and WebSocket, and its secret is nowhere to be found', async () => {
  const { secret, ...view } = await createKey({ models: ['small'] });
  for (const url of urls()) {
    const list = jsonOf(await models(url, secret)) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toEqual(['small']);
    const headers = bearer(secret);
    const answer = await call(`${url}/v1/chat/completions`, { headers, body: chat('small') });
    expect(answer.status).toBe(200);
    const socket = await openSocket(url, headers);
    socket.send({ type: 'create', ref: 'r', body: chat('small') });
    expect((await socket.next(({ type }) => type === 'done')).type).toBe('done');
    await socket.close();
  }
  expect(jsonOf(await admin('GET', `/${view.id}`))).toEqual(view);
  expect((await admin('GET', '')).text).not.toContain(secret);
  const redis = fleet.redis.connect();
  const texts = await Promise.all((await redis.keys('*')).map((key) => textIn(redis, key)));
  const digest = createHash('sha256').update(secret).digest('hex');
  expect(texts.filter((text) => text.includes(digest))).not.toEqual([]);
  // An entry of a request of this key, which is in another kind of record.
  expect(texts.filter((text) => text.includes(view.id)).length).toBeGreaterThan(1);
  expect(texts.filter((text) => text.includes(secret))).toEqual([]);
  for (const { stderr } of [...fleet.ingresses, ...fleet.workers, ...fleet.admins]) {
    expect(stderr()).not.toContain(secret);
  }
});

test('a change of models and limits holds for the next request, also on a socket that is open', async () => {
  const { id, secret } = await createKey();
  const [, url = ''] = urls();
  const socket = await openSocket(url, bearer(secret));
  let refs = 0;
  const create = async (model: string) => {
    const ref = `r${(refs += 1)}`;
    socket.send({ type: 'create', ref, body: chat(model) });
    const frame = await socket.next((one) => one.ref === ref);
    return frame.error?.code ?? frame.type;
  };
  const askFor = async (model: string) =>
    codeOf(
      await call(`${url}/v1/chat/completions`, { headers: bearer(secret), body: chat(model) }),
    );
  expect(await create('large')).toBe('created');
  expect(await askFor('large')).toBeUndefined();

  await change('PATCH', `/${id}`, { models: ['small'] });
  await expect.poll(() => create('large')).toBe('model_not_found');
  expect(await askFor('large')).toBe('model_not_found');
  expect(await create('small')).toBe('created');

  await change('PATCH', `/${id}`, { limits: { requestsPerMinute: 1 } });
  await expect.poll(() => askFor('small')).toBe('rate_limit_exceeded');
  expect(await create('small')).toBe('rate_limit_exceeded');
  await change('PATCH', `/${id}`, { limits: null });
  await expect.poll(() => create('small')).toBe('created');
  await socket.close();
});

test('a rotated key has two valid secrets for a while, and then the new one only', async () => {
  const { id, secret: old } = await createKey();
  const rotated = await change('POST', `/${id}/rotate`, { grace: '1h' });
  expect(rotated.secrets).toHaveLength(2);
  await expectEverywhere(rotated.secret, undefined);
  await expectEverywhere(old, undefined);
  const [one = '', two = ''] = urls();
  const byOld = await openReaders(one, old);
  const byNew = ask(two, 'endless', { headers: bearer(rotated.secret) });
  const newSocket = await openSocket(one, bearer(rotated.secret));

  // All older ones end; what the newest of them has open goes, too.
  const last = await change('POST', `/${id}/rotate`, { grace: 0 });
  await expectEverywhere(last.secret, undefined);
  await expectEverywhere(old, 'invalid_api_key');
  await expectEverywhere(rotated.secret, 'invalid_api_key');
  await expectEnded(byOld, 'invalid_api_key');
  expect(await readPlain(byNew)).toMatchObject({ error: { code: 'invalid_api_key' } });
  expect(await newSocket.closed).toMatchObject({ code: 1008 });
  await change('DELETE', `/${id}`);
});

test('a revoked key opens nothing more on any ingress, and everything that is open with it ends', async () => {
  const { id, secret } = await createKey();
  const { secret: other } = await createKey();
  const readers = await Promise.all(urls().map((url) => openReaders(url, secret)));
  const [url = ''] = urls();
  const untouched = ask(url, 'endless', { headers: bearer(other) });
  const byAdmin = follow(url, readers[0]?.job ?? '', undefined, { headers: ops });
  await untouched.until(chunks(1));
  await byAdmin.until(({ events }) => events.length > 2);

  expect(await change('DELETE', `/${id}`)).toMatchObject({ status: 'revoked', revoked: true });
  for (const one of readers) await expectEnded(one, 'api_key_revoked');
  await expectEverywhere(secret, 'api_key_revoked');
  for (const one of urls()) {
    await expect(openSocket(one, bearer(secret))).rejects.toThrow('401');
  }
  // The requests of clients end with them; the jobs go on, and so does everything of others.
  await expect.poll(running).toBe(urls().length + 1);
  const seen = [untouched, byAdmin].map(({ events }) => events.length);
  await expect.poll(() => untouched.events.length).toBeGreaterThan(seen[0] ?? 0);
  await expect.poll(() => byAdmin.events.length).toBeGreaterThan(seen[1] ?? 0);
  untouched.leave();
  for (const { job } of readers) {
    await call(`${url}/v1/jobs/${job}`, { method: 'DELETE', headers: ops });
  }
  await expect.poll(running).toBe(0);
});

test('a key that expires ends as a revoked one, by itself, and lives again with a later expiry', async () => {
  const { id, secret } = await createKey();
  const [, url = ''] = urls();
  const readers = await openReaders(url, secret);
  const soon = new Date(Date.now() + 5000).toISOString();
  await change('PATCH', `/${id}`, { expires_at: soon });
  await expectEnded(readers, 'api_key_expired');
  await expectEverywhere(secret, 'api_key_expired');
  expect(Date.now()).toBeGreaterThan(Date.parse(soon));
  await change('PATCH', `/${id}`, { expires_at: null });
  await expectEverywhere(secret, undefined);
});

test('a read token ends with the secret that signed it', async () => {
  const { id, secret } = await createKey();
  const [url = ''] = urls();
  const made = await call(`${url}/v1/jobs`, {
    headers: bearer(secret),
    body: { body: chat('small', { stream: true }) },
  });
  const job = (jsonOf(made) as { id: string }).id;
  const signed = await call(`${url}/v1/jobs/${job}/token`, {
    method: 'POST',
    headers: bearer(secret),
  });
  const { events_url: path } = jsonOf(signed) as { events_url: string };
  const readByToken = () => call(`${url}${path}`);
  expect((await readByToken()).status).toBe(200);
  const rotated = await change('POST', `/${id}/rotate`, { grace: '1h' });
  await expectEverywhere(rotated.secret, undefined);
  expect((await readByToken()).status).toBe(200);
  await change('DELETE', `/${id}`);
  await expectEverywhere(secret, 'api_key_revoked');
  expect(errorOf(await readByToken()).code).toBe('api_key_revoked');
  const late = await call(`${url}/v1/jobs/${job}/token`, { method: 'POST', headers: ops });
  expect([late.status, errorOf(late).code]).toEqual([409, 'token_unavailable']);
});

test('a read token that is asked for with an old secret ends with it, and one of the new secret goes on', async () => {
  const { id, secret: old } = await createKey();
  const { secret: fresh } = await change('POST', `/${id}/rotate`, { grace: '10s' });
  await expectEverywhere(fresh, undefined);
  const [url = ''] = urls();
  const body = { body: chat('small', { stream: true }) };
  const made = await call(`${url}/v1/jobs`, { headers: bearer(old), body });
  const { id: job } = jsonOf(made) as { id: string };
  const sign = async (headers: Record<string, string>) => {
    const signed = await call(`${url}/v1/jobs/${job}/token`, { method: 'POST', headers });
    return (jsonOf(signed) as { events_url: string }).events_url;
  };
  const [byOld, byNew, byAdmin] = [
    await sign(bearer(old)),
    await sign(bearer(fresh)),
    await sign(ops),
  ];
  const read = async (path: string) => (await call(`${url}${path}`)).status;
  for (const path of [byOld, byNew, byAdmin]) expect(await read(path)).toBe(200);
  await expect.poll(() => read(byOld), { timeout: 30_000 }).toBe(401);
  for (const path of [byNew, byAdmin]) expect(await read(path)).toBe(200);
});

test('keys of the config have several secrets, and are not changed over the API', async () => {
  for (const secret of ['secret-one', 'secret-two']) await expectEverywhere(secret, undefined);
  const refused = await admin('DELETE', '/of-config');
  expect([refused.status, errorOf(refused).code]).toEqual([409, 'key_in_config']);
  const taken = await admin('POST', '', { id: 'of-config' });
  expect([taken.status, errorOf(taken).param]).toEqual([409, 'id']);
});

test('keys are managed by the admin only, and by no page of another site', async () => {
  const { secret } = await createKey();
  for (const headers of [{}, bearer(secret)]) {
    const answer = await admin('POST', '', { id: 'mine' }, { headers });
    expect([answer.status, errorOf(answer).code]).toEqual([401, 'admin_only']);
  }
  const headers = { ...ops, origin: 'https://evil.example' };
  expect((await admin('POST', '', { id: 'mine' }, { headers })).status).toBe(403);
  expect((await admin('GET', '/mine')).status).toBe(404);
  const wrong = await admin('POST', '', { id: 'mine', models: ['smal'] });
  expect([wrong.status, errorOf(wrong).param]).toEqual([400, 'models[0]']);
});

test('while Redis is away known keys stay valid, and a key that was created before is known after its return', async () => {
  const { secret } = await createKey();
  await fleet.redis.kill();
  for (const url of urls()) {
    expect(codeOf(await models(url, secret))).toBeUndefined();
    expect(codeOf(await models(url, 'mr-unknown'))).toBe('invalid_api_key');
  }
  await fleet.redis.start();
  await expectEverywhere(secret, undefined);
  const fresh = await fleet.addIngress();
  await expectEverywhere(secret, undefined);
  await fresh.stop('SIGKILL');
  fleet.ingresses.pop();
  // A new id each time: an attempt without an answer may have created its key.
  let attempts = 0;
  const created = async () => (await admin('POST', '', { id: `after-${(attempts += 1)}` })).status;
  await expect.poll(created).toBe(201);
});

test('an ingress without keys in its config asks for one, since keys were created', async () => {
  await fleet.reconfigure({ keys: undefined });
  const { url } = await fleet.addIngress();
  const answer = await call(`${url}/v1/models`);
  expect([answer.status, errorOf(answer).code]).toEqual([401, 'invalid_api_key']);
  const { secret } = await createKey();
  expect((await models(url, secret)).status).toBe(200);
});

test('without an admin in the config this machine may see keys, and change none, since clients need one', async () => {
  await fleet.reconfigure({ admin: undefined });
  const { url } = await fleet.addIngress();
  const as = (method: string, path: string, body?: object) =>
    call(`${url}${path}`, { method, ...(body && { body }) });
  expect((await as('GET', '/admin/keys')).status).toBe(200);
  const mine = { id: 'mine' };
  for (const [method, path, body] of [
    ['POST', '/admin/keys', mine],
    ['POST', '/admin//keys/', mine],
    ['POST', '/admin/%6beys', mine],
    ['POST', '/admin/%256beys', mine],
    ['POST', '/admin/fleet/%2e%2e/keys', mine],
    ['PATCH', '/admin/keys/after', { weight: 2 }],
    ['DELETE', '/admin/keys/after'],
    ['POST', '/admin/keys/after/rotate'],
  ] as const) {
    const answer = await as(method, path, body);
    expect([path, answer.status, errorOf(answer)]).toMatchObject([
      path,
      401,
      { code: 'admin_only', message: expect.stringContaining("set 'admin'") },
    ]);
  }
  expect((await as('GET', '/admin/keys/mine')).status).toBe(404);
  // Other changes are those of loopback, as before.
  expect((await as('POST', '/admin/fleet/nobody/drain')).status).toBe(404);
});
