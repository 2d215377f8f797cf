import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startFleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, createJob, eventsOf, follow, getJob, openStream } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { chunks, expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectEmpty, isAlive, observeQueue, upstream, userOf } from '../kit/observe.ts';
import type { ObservedQueue } from '../kit/observe.ts';

/** Milliseconds: far below a `drainTimeout` of a minute, also on a slow machine. */
const promptlyMs = 20_000;
const hugeBytes = 10 * 1024 * 1024;
const readerBufferBytes = 256 * 1024;
/** What a reader may take from its log at once, beyond its buffer. */
const portionBytes = 32 * 1024;

const models = {
  brief: 'healthy:tokens=60,pace=10',
  // Held open until `hurry`.
  long: 'healthy:tokens=600,pace=40',
  // Runs on for longer than the grace of requests whose ingress died.
  moved: 'healthy:tokens=400,pace=10',
  // Twice what the kernel usually takes for a reader that takes nothing: a test waits until something waits.
  huge: `big:bytes=${hugeBytes}`,
};
const longText = expectedText({ tokens: 600 });

// A request without readers that its ingress did not give up ends soon.
const config = { limits: { ownerGrace: '500ms' } };

let fleet: Fleet;
let queue: ObservedQueue;
let closing: (() => Promise<void>) | undefined;
beforeAll(async () => {
  fleet = await startFleet({ ingresses: 0, models, config });
  queue = observeQueue(fleet);
});
// Several tests end their workers, and add one only when all went well.
beforeEach(async () => {
  if (!fleet.workers.some(isAlive)) await fleet.addWorker();
});
afterEach(async () => {
  try {
    fleet.hurry();
    await closing?.();
    await expectEmpty(queue);
  } finally {
    // Where a test fails, the next one has its own pace and proxy all the same.
    closing = undefined;
    fleet.primary.reset();
  }
});
afterAll(() => fleet?.close());

/** An ingress of its own for a test, or two of them. */
async function start(config: Record<string, unknown> = {}, count = 1): Promise<RoleProcess> {
  return fleet.replaceIngress(config, { count });
}

describe('an ingress that is told to stop', () => {
  test('accepts no more, finishes its streams, and exits 0', async () => {
    await start({}, 2);
    const [leaving, staying] = fleet.ingresses as [RoleProcess, RoleProcess];
    const plain = ask(leaving.url, 'long');
    const whole = askWhole(leaving.url, 'long', { body: { user: 'whole' } });
    const id = await createJob(leaving.url, 'long');
    const native = follow(leaving.url, id);
    await Promise.all([plain.until(chunks(3)), native.until(chunks(3))]);
    await upstream(fleet.primary, 'whole');

    const stopped = leaving.stop('SIGTERM');
    await expect.poll(() => connects(leaving.url)).toBe(false);
    fleet.hurry();

    await expectWhole(plain, longText);
    await native.ended;
    expect(readStory(native.events).text).toBe(longText);
    await whole.ended;
    expect((await whole.head).status).toBe(200);
    expect(await stopped).toBe(0);
    await expectWhole(ask(staying.url, 'brief'), expectedText({ tokens: 60 }));
  });

  test('is not held up by connections that are kept open for nothing', async () => {
    const ingress = await start({ drainTimeout: '60s' });
    const agent = new Agent({ keepAlive: true });
    await getOnce(`${ingress.url}/healthz`, agent);
    const socket = new WebSocket(`${ingress.url.replace('http', 'ws')}/v1/ws`);
    await once(socket, 'open');
    const closed = once(socket, 'close');

    const since = Date.now();
    expect(await ingress.stop('SIGTERM')).toBe(0);

    expect(Date.now() - since).toBeLessThan(promptlyMs);
    // "Service restart": the client comes back elsewhere.
    expect((await closed)[0]).toBe(1012);
    agent.destroy();
  });

  test('lets the requests of a WebSocket end before it closes the socket', async () => {
    const ingress = await start({ drainTimeout: '60s' });
    const socket = new WebSocket(`${ingress.url.replace('http', 'ws')}/v1/ws`);
    const types: string[] = [];
    let onFrame = () => {};
    socket.on('message', (data: Buffer) => {
      types.push((JSON.parse(data.toString()) as { type: string }).type);
      onFrame();
    });
    await once(socket, 'open');
    const closed = once(socket, 'close');
    const running = new Promise<void>((resolve) => {
      onFrame = () => {
        if (types.includes('chunk')) resolve();
      };
    });
    const body = { ...say('long'), stream: true };
    socket.send(JSON.stringify({ type: 'create', body }));
    await running;

    const stopped = ingress.stop('SIGTERM');
    await expect.poll(() => connects(ingress.url)).toBe(false);
    const since = Date.now();
    fleet.hurry();
    expect(await stopped).toBe(0);

    expect(Date.now() - since).toBeLessThan(promptlyMs);
    expect(types.at(-1)).toBe('done');
    expect((await closed)[0]).toBe(1012);
  });

  test('sends what waits for a slow WebSocket before it closes the socket', async () => {
    const ingress = await start({ drainTimeout: '60s' });
    const socket = await openSocket(ingress.url);
    socket.send({ type: 'create', body: { ...say('huge'), user: 'slow' } });
    await socket.next(({ type }) => type === 'created');
    socket.pause();
    await fleet.primary.waitFor((one) => userOf(one) === 'slow' && one.state === 'finished');
    // The rest of the answer waits for its reader, and its end behind it.
    await expect
      .poll(() => metric(ingress.url, 'millrace_bound_bytes', { what: 'reader_buffers' }))
      .toBeGreaterThan(hugeBytes / 8);

    const stopped = ingress.stop('SIGTERM');
    await expect.poll(() => connects(ingress.url)).toBe(false);
    socket.resume();

    expect((await socket.closed).code).toBe(1012);
    expect(await stopped).toBe(0);
    expect(socket.frames.at(-1)?.type).toBe('done');
    const chunk = socket.texts.find((text) => text.startsWith('{"type":"chunk"'));
    expect(chunk?.length).toBeGreaterThan(hugeBytes);
  });

  test('sends a page away that shows its key when it is too late', async () => {
    const keys = [{ id: 'a', secret: 'secret-a' }];
    const ingress = await start({ drainTimeout: '60s', keys });
    const headers = { authorization: 'Bearer secret-a' };
    const stream = ask(ingress.url, 'long', { headers });
    const page = await openSocket(ingress.url, { origin: ingress.url });
    await stream.until(chunks(3));
    const stopped = ingress.stop('SIGTERM');
    await expect.poll(() => connects(ingress.url)).toBe(false);
    page.send({ type: 'auth', key: 'secret-a' });
    expect((await page.closed).code).toBe(1012);
    expect(page.frames).toMatchObject([
      { type: 'error', error: { code: 'server_shutting_down', retry_after_ms: 1000 } },
    ]);
    fleet.hurry();
    await expectWhole(stream, longText);
    expect(await stopped).toBe(0);
  });

  test('hands over what does not end in time, and every kind of reader finds its answer elsewhere', async () => {
    await start({ drainTimeout: '100ms' }, 2);
    const [leaving, staying] = fleet.ingresses as [RoleProcess, RoleProcess];
    const text = expectedText({ tokens: 400 });
    const ofUser = (user: string) => ({ body: { user } });
    const plain = ask(leaving.url, 'moved', ofUser('plain'));
    const whole = askWhole(leaving.url, 'moved', ofUser('whole'));
    const named = { headers: { 'idempotency-key': randomUUID() } };
    const keyed = askWhole(leaving.url, 'moved', { ...ofUser('keyed'), ...named });
    const id = await createJob(leaving.url, 'moved', { user: 'job' });
    const native = follow(leaving.url, id);
    const socket = await openSocket(leaving.url);
    socket.send({
      type: 'create',
      ref: 'own',
      body: { ...say('moved'), stream: true, user: 'socket' },
    });
    const { id: owned } = await socket.next(({ type }) => type === 'created');
    await socket.next(({ type }) => type === 'chunk');
    await Promise.all([plain.until(chunks(3)), native.until(chunks(3))]);
    const users = ['plain', 'whole', 'keyed', 'job', 'socket'];
    await Promise.all(users.map((user) => upstream(fleet.primary, user)));

    expect(await leaving.stop('SIGTERM')).toBe(0);

    // One retryable error that names the request, for plain readers.
    const cut = await readPlain(plain);
    expect(cut).toMatchObject({ end: 'error', error: { code: 'server_draining' } });
    expect(text.startsWith(cut.text)).toBe(true);
    const plainId = String((await plain.head).headers['x-request-id']);
    expect(cut.error).toMatchObject({ request_id: plainId });
    await Promise.all([whole.ended, keyed.ended]);
    const refusal = await whole.head;
    const wholeId = String(refusal.headers['x-request-id']);
    expect(refusal).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(JSON.parse(whole.text)).toMatchObject({
      error: { code: 'server_draining', request_id: wholeId },
    });
    // `moved`, which ends nothing, for native ones.
    await native.ended;
    expect(native.events.at(-1)).toMatchObject({ event: 'moved', id: undefined });
    expect((await socket.closed).code).toBe(1012);
    expect(socket.frames.at(-1)).toMatchObject({
      type: 'moved',
      id: owned,
      data: { events_url: `/v1/jobs/${owned}/events` },
    });

    // One of them goes on at once, from its cursor.
    const cursor = native.events.findLast((event) => event.id !== undefined)?.id;
    const rest = await eventsOf(staying.url, id, cursor);
    const story = readStory([...native.events, ...rest]);
    expect(story).toMatchObject({ end: 'done', text });
    // The others run to their end although no reader is there, and are read then: by id and by key.
    const isOver = (user: string) =>
      fleet.primary.waitFor((one) => userOf(one) === user && one.state !== 'open');
    const calls = await Promise.all(users.map(isOver));
    expect(calls.map(({ state }) => state)).toEqual(users.map(() => 'finished'));
    const ofWhole = eventsOf(staying.url, wholeId);
    const again = askWhole(staying.url, 'moved', { ...ofUser('keyed'), ...named });
    const stories = await Promise.all(
      [plainId, String(owned)].map((one) => eventsOf(staying.url, one)),
    );
    for (const events of stories) expect(readStory(events)).toMatchObject({ end: 'done', text });
    await again.ended;
    expect((await again.head).headers['idempotent-replayed']).toBe('true');
    expect(JSON.parse(again.text)).toMatchObject({ choices: [{ message: { content: text } }] });
    expect(readStory(await ofWhole).end).toBe('done');
    expect(await answerOf(staying.url, wholeId)).toBe(text);
    for (const user of users) expect(asked(fleet.primary, user)).toBe(1);
  });

  test('hands over what still waits in the queue, and it is served when its turn comes', async () => {
    await fleet.killWorkers();
    await start({ drainTimeout: '100ms' }, 2);
    const [leaving, staying] = fleet.ingresses as [RoleProcess, RoleProcess];
    const waiting = askWhole(leaving.url, 'brief');
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 1 });

    expect(await leaving.stop('SIGTERM')).toBe(0);

    await waiting.ended;
    const { error } = JSON.parse(waiting.text) as { error: { code: string; request_id: string } };
    expect(error.code).toBe('server_draining');
    await fleet.addWorker();
    expect(readStory(await eventsOf(staying.url, error.request_id)).end).toBe('done');
    const text = expectedText({ tokens: 60 });
    expect(await answerOf(staying.url, error.request_id)).toBe(text);
  });

  test('serves as before for `drainDelay`, says in /readyz that this ends, and can be hurried', async () => {
    const ingress = await start({ drainDelay: '1m' });
    const stopped = ingress.stop('SIGTERM');
    await expect
      .poll(async () => (await call(`${ingress.url}/readyz`)).text)
      .toContain('"status":"draining"');
    const ready = await call(`${ingress.url}/readyz`);
    expect(ready).toMatchObject({ status: 503, headers: { connection: 'close' } });
    // On new connections. Together they take longer than the time in which a signal is the same one.
    const whole = expectedText({ tokens: 60 });
    for (let i = 0; i < 2; i++) await expectWhole(ask(ingress.url, 'brief'), whole);
    ingress.child.kill('SIGTERM');
    expect(await stopped).toBe(143);
  });

  test('is not held up by readers that take nothing', async () => {
    const limits = { ...config.limits, readerBuffer: `${readerBufferBytes}B` };
    const ingress = await start({ drainTimeout: '300ms', limits });
    const stuck = ask(fleet.url, 'huge', { body: { user: 'stuck' }, keepText: false });
    await stuck.until(({ bytes }) => bytes > 0);
    stuck.pause();
    // Another one, with a request behind it that waits for its turn.
    const url = new URL(ingress.url);
    const line = connect(Number(url.port), url.hostname);
    const asked = JSON.stringify({ ...say('huge'), stream: true, user: 'stuck-line' });
    const head = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${asked.length}`;
    line.write(`POST /v1/chat/completions HTTP/1.1\r\n${head}\r\n\r\n${asked}`);
    const upgrade = 'Host: localhost\r\nConnection: upgrade\r\nUpgrade: h2c';
    line.write(`GET /v1/models HTTP/1.1\r\n${upgrade}\r\n\r\n`);
    await once(line, 'data');
    line.pause();
    closing = async () => void line.destroy();
    const socket = new WebSocket(`${ingress.url.replace('http', 'ws')}/v1/ws`);
    await once(socket, 'open');
    const body = { ...say('huge'), stream: true, user: 'stuck-socket' };
    socket.send(JSON.stringify({ type: 'create', body }));
    await upstream(fleet.primary, 'stuck-socket');
    socket.pause();
    // More than two of them can hold: something waits for each of the three.
    await expect
      .poll(() => metric(ingress.url, 'millrace_bound_bytes', { what: 'reader_buffers' }))
      .toBeGreaterThan(2 * (readerBufferBytes + portionBytes));

    const since = Date.now();
    expect(await ingress.stop('SIGTERM')).toBe(0);

    expect(Date.now() - since).toBeLessThan(promptlyMs);
  });

  test('answers who has a job to make, when Redis has taken it', async () => {
    const { between, ingress } = await startBehindProxy();
    const held = between.holdCommand('made-late');
    const made = postJob(ingress.url, 'made-late');
    await held;
    const stopped = ingress.stop('SIGTERM');
    await expect.poll(() => connects(ingress.url)).toBe(false);
    between.release();

    expect(await made.head).toMatchObject({ status: 202, headers: { connection: 'close' } });
    expect(await stopped).toBe(0);
    const { id } = JSON.parse(await whole(made)) as { id: string };
    const other = await fleet.addIngress();
    expect(readStory(await eventsOf(other.url, id)).end).toBe('done');
  });

  test('makes nothing of what it tells clients to make elsewhere: a job, a request on a WebSocket', async () => {
    const { between, ingress } = await startBehindProxy({ drainTimeout: '100ms' });
    // A worker that waits for jobs could ask for one between its creation and its end.
    await fleet.killWorkers();
    const socket = await openSocket(ingress.url);
    const held = between.holdCommand('made-never');
    const made = postJob(ingress.url, 'made-never');
    await held;
    const body = { ...say('brief'), user: 'made-never-either' };
    socket.send({ type: 'create', ref: 'r', body });
    socket.send({ type: 'ping' });
    await socket.next(({ type }) => type === 'pong');
    // Of both: what is behind its creation on the connection reaches Redis with it.
    const takenBack = between.holdCommand('the server shuts down', 2);
    const stopped = ingress.stop('SIGTERM');

    expect(await made.head).toMatchObject({ status: 503, headers: { connection: 'close' } });
    expect(JSON.parse(await whole(made))).toMatchObject({
      error: { code: 'server_shutting_down' },
    });
    expect((await socket.closed).code).toBe(1012);
    expect(socket.frames.slice(1)).toMatchObject([
      { type: 'error', ref: 'r', error: { code: 'server_shutting_down' } },
    ]);
    await takenBack;
    between.release();
    expect(await stopped).toBe(0);
    const other = await fleet.addIngress();
    await fleet.addWorker();
    await expectWhole(ask(other.url, 'brief'), expectedText({ tokens: 60 }));
    await expectEmpty(queue);
    expect(asked(fleet.primary, 'made-never')).toBe(0);
    expect(asked(fleet.primary, 'made-never-either')).toBe(0);
  });

  test('serves a request whose body was on its way, and ends its connection', async () => {
    const ingress = await start();
    const agent = new Agent({ keepAlive: true });
    const outgoing = request(`${ingress.url}/v1/chat/completions`, {
      agent,
      method: 'POST',
      headers: { 'content-type': 'application/json', expect: '100-continue' },
    });
    // The server has read the head.
    outgoing.flushHeaders();
    await once(outgoing, 'continue');
    const stopped = ingress.stop('SIGTERM');
    await expect.poll(() => connects(ingress.url)).toBe(false);
    outgoing.end(JSON.stringify({ model: 'brief', messages: [{ role: 'user', content: 'hi' }] }));

    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(response).toMatchObject({ statusCode: 200, headers: { connection: 'close' } });
    expect(await text(response)).toContain('"finish_reason":"stop"');
    expect(await stopped).toBe(0);
    agent.destroy();
  });

  test('tells who comes again on a kept connection to go elsewhere', async () => {
    const ingress = await start();
    const agent = new Agent({ keepAlive: true });
    await getOnce(`${ingress.url}/v1/models`, agent);
    const stream = ask(ingress.url, 'long');
    await stream.until(chunks(3));
    const stopped = ingress.stop('SIGTERM');
    await expect.poll(() => connects(ingress.url)).toBe(false);

    const answer = await getOnce(`${ingress.url}/v1/models`, agent);
    expect(answer).toMatchObject({ statusCode: 503, headers: { connection: 'close' } });
    expect(answer.headers['retry-after']).toBeDefined();
    fleet.hurry();
    await expectWhole(stream, longText);
    expect(await stopped).toBe(0);
    agent.destroy();
  });

  test('serves what came before it closed', async () => {
    const ingress = await start();
    const agent = new Agent({ keepAlive: true });
    await getOnce(`${ingress.url}/v1/models`, agent);
    // What comes now, the kept connection and the new one, it finds together with the signal.
    ingress.child.kill('SIGSTOP');
    const outgoing = [agent, false as const].map((way) =>
      request(`${ingress.url}/v1/models`, { agent: way }).end(),
    );
    const responses = outgoing.map((one) => once(one, 'response'));
    await Promise.all(outgoing.map((one) => once(one, 'finish')));
    const stopped = ingress.stop('SIGTERM');
    ingress.child.kill('SIGCONT');

    for (const response of responses) {
      const [answer] = (await response) as [IncomingMessage];
      expect(answer.statusCode).toBe(200);
      await text(answer);
    }
    expect(await stopped).toBe(0);
    agent.destroy();
  });

  test('exits at once when it is asked again later', async () => {
    const ingress = await start();
    const stream = ask(fleet.url, 'long');
    await stream.until(chunks(3));
    const stopped = ingress.stop('SIGTERM');
    await expect.poll(() => connects(ingress.url)).toBe(false);
    // Longer than the time in which a signal is the same one.
    const heard = stream.events.length;
    await stream.until(({ events }) => events.length > heard + 30);
    ingress.child.kill('SIGTERM');
    expect(await stopped).toBe(143);
    // Cut short by an impatient operator: at least it does not look like an answer.
    expect(await stream.ended).toMatchObject({ how: 'broken' });
  });

  test('logs nothing alarming while it drains', async () => {
    await fleet.killWorkers();
    const [ingress, worker] = await Promise.all([start(), fleet.addWorker()]);
    const stream = ask(fleet.url, 'brief');
    await stream.until(chunks(3));
    expect(await Promise.all([ingress.stop(), worker.stop()])).toEqual([0, 0]);
    await fleet.killWorkers();
    await fleet.addWorker();
    expect(ingress.stderr()).not.toMatch(/"level":(50|60)/);
    expect(worker.stderr()).not.toMatch(/"level":(50|60)/);
  });
});

const say = (model: string) => ({ model, messages: [{ role: 'user', content: 'hi' }] });

const metric = async (url: string, name: string, labels?: Record<string, string>) =>
  sumOf(parsePrometheus((await call(`${url}/metrics`)).text), name, labels);

/** What a whole answer says, as its job has it. */
async function answerOf(url: string, id: string): Promise<unknown> {
  return (await getJob(url, id)).result?.choices[0]?.message.content;
}

async function connects(url: string): Promise<boolean> {
  return fetch(`${url}/healthz`, { headers: { connection: 'close' } }).then(
    () => true,
    () => false,
  );
}

async function getOnce(url: string, agent: Agent): Promise<IncomingMessage> {
  const outgoing = request(url, { agent }).end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  await text(response);
  return response;
}

/** An ingress that has a way of its own to Redis. */
async function startBehindProxy(config: Record<string, unknown> = {}) {
  const between = await startRedisProxy(fleet.redis.url);
  closing = () => between.close();
  const ingress = await fleet.replaceIngress(config, { redisUrl: between.url });
  return { between, ingress };
}

const postJob = (url: string, user: string): Stream =>
  openStream(`${url}/v1/jobs`, {
    method: 'POST',
    body: { body: { model: 'brief', messages: [{ role: 'user', content: 'hi' }], user } },
  });

async function whole(stream: Stream): Promise<string> {
  expect(await stream.ended).toMatchObject({ how: 'complete' });
  return stream.text;
}
