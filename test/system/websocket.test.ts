import { newRequestId } from '@millrace/shared/domain/request';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  aliases,
  chat,
  createJob,
  expectClosed,
  readEvents,
  upstreamOf,
  viewJob,
} from '../kit/api.ts';
import { contentOf, keptEvents } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';
import type { Frame, Socket } from '../kit/socket.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const short = 'healthy:tokens=20';
const other = (seed: number) => `healthy:tokens=40,pace=5,seed=${seed}`;
const long = (seed: number) => `healthy:tokens=5000,pace=10,seed=${seed}`;
const frameLimit = 4096;

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    ingresses: 2,
    models: {
      ...aliases(short, 'status:code=429', ...[1, 2, 3].map(other)),
      ...aliases(...[1, 2, 3, 4, 5, 6].map(long)),
    },
    config: { limits: { socketFrame: `${frameLimit}B`, requestValues: 1500 } },
  });
});
afterAll(() => fleet.close());

const sockets: Socket[] = [];
afterEach(async () => {
  await Promise.all(sockets.splice(0).map((socket) => socket.close()));
});
async function connect(ingress = 0): Promise<Socket> {
  const socket = await openSocket(fleet.ingresses[ingress]?.url ?? '');
  sockets.push(socket);
  return socket;
}

/** Creates a stream; its id. */
async function create(
  socket: Socket,
  model: string,
  more: Record<string, unknown> = {},
): Promise<string> {
  const ref = `ref-${model}`;
  socket.send({ type: 'create', ref, body: chat(model, { stream: true }), ...more });
  const created = await socket.next((frame) => frame.type === 'created' && frame.ref === ref);
  return created.id ?? '';
}

const terminal = new Set(['done', 'failed', 'cancelled']);
const ended = (socket: Socket, id: string) =>
  socket.next((frame) => frame.id === id && terminal.has(frame.type));

/** A request's frames as the events of an SSE reader. */
const asEvents = (frames: readonly Frame[], id: string) =>
  frames
    .filter((frame) => frame.id === id && frame.entry !== undefined)
    .map(({ type, entry, data }) => ({ event: type, id: entry, data: JSON.stringify(data) }));

describe('a request that is made on a socket', () => {
  it('is confirmed, streamed and done', async () => {
    const socket = await connect();
    const id = await create(socket, short);
    await ended(socket, id);
    const frames = socket.frames.filter(({ type }) => type !== 'queued');
    expect(frames[0]).toEqual({ type: 'created', id, ref: `ref-${short}` });
    expect(frames[1]).toMatchObject({ type: 'attempt', id, data: { provider: 'primary' } });
    expect(frames.at(-1)).toMatchObject({
      type: 'done',
      id,
      data: { status: 'completed', finish_reason: 'stop', attempts: 1 },
    });
    expect(contentOf(asEvents(frames, id))).toBe(expectedText({ tokens: 20 }));
  });

  it('shows the same events as over SSE', async () => {
    const socket = await connect();
    const id = await create(socket, short);
    await ended(socket, id);
    const { text } = await readEvents(fleet.url, id).ended;
    expect(asEvents(socket.frames, id)).toEqual(keptEvents(text));
  });

  it('is known to every ingress once it is confirmed', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    for (let round = 0; round < 50; round += 1) {
      const ref = String(round);
      one.send({ type: 'create', ref, body: chat(short, { stream: true }) });
      const isOurs = (frame: Frame) => frame.type === 'created' && frame.ref === ref;
      const { id = '' } = await one.next(isOurs);
      two.send({ type: 'subscribe', id });
      const answer = await two.next((frame) => frame.id === id);
      expect(answer.error).toBeUndefined();
      // And nothing of it came before its confirmation.
      expect(one.frames.findIndex((frame) => frame.id === id)).toBe(one.frames.findIndex(isOurs));
    }
  });

  it('may be one of several, each with its own text', async () => {
    const socket = await connect();
    const ids = await Promise.all([1, 2, 3].map((seed) => create(socket, other(seed))));
    await Promise.all(ids.map((id) => ended(socket, id)));
    for (const [place, id] of ids.entries()) {
      const text = contentOf(asEvents(socket.frames, id));
      expect(text).toBe(expectedText({ tokens: 40, seed: place + 1 }));
    }
    // Side by side, not one after the other.
    const firstEnd = socket.frames.findIndex(({ type }) => type === 'done');
    const before = socket.frames.slice(0, firstEnd).filter(({ type }) => type === 'chunk');
    expect(new Set(before.map(({ id }) => id)).size).toBe(3);
  });

  it("brings the provider's error as its end", async () => {
    const socket = await connect();
    const id = await create(socket, 'status:code=429');
    expect(await ended(socket, id)).toMatchObject({
      type: 'failed',
      data: { status: 'failed', error: { code: 'rate_limit_exceeded' } },
    });
  });

  it('without stream comes in one chunk', async () => {
    const socket = await connect();
    socket.send({ type: 'create', body: chat(short) });
    const { id = '' } = await socket.next(({ type }) => type === 'created');
    await ended(socket, id);
    const chunks = socket.frames.filter(({ type }) => type === 'chunk');
    expect(chunks).toMatchObject([{ data: { object: 'chat.completion' } }]);
  });
});

describe('subscribing', () => {
  it('from another socket, on another ingress, shows all from the start', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    const id = await create(one, other(1));
    await one.next(({ type }) => type === 'chunk');
    two.send({ type: 'subscribe', id });
    await Promise.all([ended(one, id), ended(two, id)]);
    expect(asEvents(two.frames, id)).toEqual(asEvents(one.frames, id));
  });

  it('after an entry shows what follows it, while it runs and when it is over', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    const id = await create(one, other(2));
    const { entry } = await one.next(({ type }) => type === 'chunk');
    two.send({ type: 'subscribe', id, after: entry });
    await Promise.all([ended(one, id), ended(two, id)]);
    const all = asEvents(one.frames, id);
    const rest = all.slice(all.findIndex((event) => event.id === entry) + 1);
    expect(asEvents(two.frames, id)).toEqual(rest);

    const three = await connect(1);
    three.send({ type: 'subscribe', id, after: entry });
    await ended(three, id);
    expect(asEvents(three.frames, id)).toEqual(rest);
  });

  it('past the end is told with a reset, and starts anew', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    const id = await create(one, short);
    await ended(one, id);
    two.send({ type: 'subscribe', id, after: '7-1000' });
    await ended(two, id);
    expect(two.frames[0]).toEqual({ type: 'reset', id, data: { reason: 'cursor_ahead' } });
    expect(asEvents(two.frames, id)).toEqual(asEvents(one.frames, id));
  });

  it('ends with unsubscribe, and the request goes on', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    const id = await create(one, other(3));
    two.send({ type: 'subscribe', id });
    await two.next(({ type }) => type === 'chunk');
    two.send({ type: 'unsubscribe', id });
    two.send({ type: 'ping' });
    await two.next(({ type }) => type === 'pong');
    const seen = two.frames.length;
    expect(await ended(one, id)).toMatchObject({ type: 'done' });
    two.send({ type: 'unsubscribe', id });
    await two.next(({ type }) => type === 'error');
    expect(two.frames).toHaveLength(seen + 1);
  });

  it('and unsubscribing at once, in one go, leaves nothing open', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    const id = await create(one, other(2));
    two.send({ type: 'subscribe', id });
    two.send({ type: 'unsubscribe', id });
    two.send({ type: 'unsubscribe', id });
    // The first has left what the one before it opened; the second finds nothing.
    await two.next(({ type }) => type === 'error');
    await ended(one, id);
    two.send({ type: 'ping' });
    await two.next(({ type }) => type === 'pong');
    expect(two.frames.filter(({ type }) => type === 'error')).toHaveLength(1);
    expect(two.frames.filter(({ type }) => terminal.has(type))).toEqual([]);
  });

  it('twice on one socket, at once, shows all once', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    const id = await create(one, other(1));
    two.send({ type: 'subscribe', id });
    two.send({ type: 'subscribe', id });
    const refused = await two.next(({ type }) => type === 'error');
    expect(refused).toMatchObject({ id, error: { param: 'id' } });
    await Promise.all([ended(one, id), ended(two, id)]);
    expect(asEvents(two.frames, id)).toEqual(asEvents(one.frames, id));
  });

  it('works for a job that was made over HTTP', async () => {
    const socket = await connect(1);
    const id = await createJob(fleet.url, chat(other(1), { stream: true }));
    socket.send({ type: 'subscribe', id });
    expect(await ended(socket, id)).toMatchObject({ type: 'done' });
    expect(contentOf(asEvents(socket.frames, id))).toBe(expectedText({ tokens: 40, seed: 1 }));
  });
});

describe('ending a request', () => {
  it('by cancel closes the upstream call and tells every reader', async () => {
    const [one, two] = [await connect(0), await connect(1)];
    const id = await create(one, long(1));
    two.send({ type: 'subscribe', id });
    await Promise.all([one, two].map((socket) => socket.next(({ type }) => type === 'chunk')));
    const upstream = await upstreamOf(fleet.primary, long(1));
    const at = Date.now();
    two.send({ type: 'cancel', id });
    await expectClosed(fleet.primary, upstream, at);
    for (const socket of [one, two]) {
      expect(await ended(socket, id)).toMatchObject({
        type: 'cancelled',
        data: { status: 'cancelled' },
      });
    }
    // Once more is no error, and is answered.
    const before = two.frames.length;
    two.send({ type: 'cancel', id });
    await expect.poll(() => two.frames.slice(before)).toMatchObject([{ type: 'cancelled', id }]);
  });

  it('that its socket does not read is answered there, and that it has ended, too', async () => {
    const [reader, other] = [await connect(0), await connect(1)];
    const id = await create(reader, long(1));
    await reader.next(({ type }) => type === 'chunk');
    other.send({ type: 'cancel', id });
    expect(await other.next((frame) => frame.id === id)).toEqual({
      type: 'cancelled',
      id,
      data: { status: 'cancelled' },
    });
    expect(await ended(reader, id)).toMatchObject({ type: 'cancelled' });
    const finished = await create(reader, short);
    expect(await ended(reader, finished)).toMatchObject({ type: 'done' });
    other.send({ type: 'cancel', id: finished });
    expect(await other.next((frame) => frame.id === finished)).toMatchObject({
      type: 'error',
      error: {
        code: 'request_ended',
        message: expect.stringContaining("ended as 'completed'"),
        request_id: finished,
      },
    });
  });

  it.each([
    ['closes', (socket: Socket) => (socket.close().catch(() => {}), Date.now()), 2],
    ['breaks', (socket: Socket) => socket.leave(), 3],
  ])('by a socket that %s closes the upstream call', async (_how, leave, seed) => {
    const socket = await connect();
    const id = await create(socket, long(seed));
    await socket.next(({ type }) => type === 'chunk');
    const upstream = await upstreamOf(fleet.primary, long(seed));
    await expectClosed(fleet.primary, upstream, leave(socket));
    expect((await viewJob(fleet.url, id)).status).toBe('cancelled');
  });

  it('by unsubscribe of its own socket', async () => {
    const socket = await connect();
    const id = await create(socket, long(4));
    await socket.next(({ type }) => type === 'chunk');
    const upstream = await upstreamOf(fleet.primary, long(4));
    const at = Date.now();
    socket.send({ type: 'unsubscribe', id });
    await expectClosed(fleet.primary, upstream, at);
    expect((await viewJob(fleet.url, id)).status).toBe('cancelled');
  });

  it('does not come with its socket when it is detached', async () => {
    const [detached, attached] = [await connect(), await connect()];
    const id = await create(detached, long(5), { detached: true });
    await detached.next(({ type }) => type === 'chunk');
    const upstream = await upstreamOf(fleet.primary, long(5));
    detached.leave();
    // An attached one leaves later and is closed: so the first would be by now.
    await create(attached, long(6));
    const otherUpstream = await upstreamOf(fleet.primary, long(6));
    await expectClosed(fleet.primary, otherUpstream, attached.leave());
    const found = fleet.primary.requests.find(({ number }) => number === upstream.number);
    expect(found?.state).toBe('open');
    const back = await connect(1);
    back.send({ type: 'subscribe', id });
    await back.next(({ type }) => type === 'chunk');
    back.send({ type: 'cancel', id });
    expect(await ended(back, id)).toMatchObject({ type: 'cancelled' });
  });
});

const unknownId = newRequestId(0, Date.now());
const oldId = newRequestId(0, 0);
const body = chat(short);
const bad: [what: string, frame: string | Record<string, unknown>, error: object, more?: object][] =
  [
    ['what is not JSON', '{"type":', { code: 'invalid_json' }],
    ['an empty frame', '', { code: 'invalid_json' }],
    ['an array', '[{"type":"ping"}]', { type: 'invalid_request_error' }],
    ['a string', '"ping"', { type: 'invalid_request_error' }],
    ['null', 'null', { type: 'invalid_request_error' }],
    ['no type', { ref: 'r' }, { code: 'unknown_frame_type' }, { ref: 'r' }],
    ['an unknown type', { type: 'hello', ref: 'r' }, { code: 'unknown_frame_type' }, { ref: 'r' }],
    ['a type of the prototype', { type: 'constructor' }, { code: 'unknown_frame_type' }],
    ['a type that is no string', { type: ['ping'] }, { code: 'unknown_frame_type' }],
    ['create without body', { type: 'create', ref: 'r' }, { param: 'body' }, { ref: 'r' }],
    ['create with a body that is no object', { type: 'create', body: [] }, { param: 'body' }],
    ['create without a model', { type: 'create', body: { messages: [] } }, { param: 'model' }],
    [
      'create without messages',
      { type: 'create', body: { model: short } },
      { param: 'messages', code: 'missing_required_parameter' },
    ],
    [
      'create with an unknown model',
      { type: 'create', ref: 'r', body: chat('gpt-0') },
      { code: 'model_not_found' },
      { ref: 'r' },
    ],
    ['create with a ref that is no string', { type: 'create', ref: 7, body }, { param: 'ref' }],
    [
      'create with detached that is no boolean',
      { type: 'create', ref: 'r', detached: 'yes', body },
      { param: 'detached' },
      { ref: 'r' },
    ],
    [
      'create with a field that is none',
      { type: 'create', ref: 'r', body, prioritiy: 'low' },
      { param: 'prioritiy', code: 'unknown_parameter' },
      { ref: 'r' },
    ],
    [
      'create with a deadline that has passed',
      { type: 'create', body, deadline: '2020-01-31T12:00:00Z' },
      { param: 'deadline', code: 'deadline_passed' },
    ],
    [
      'create with a deadline that is none',
      { type: 'create', body, deadline: 'soon' },
      { param: 'deadline' },
    ],
    [
      'create with a deadline that is a number',
      { type: 'create', body, deadline: 30 },
      { param: 'deadline' },
    ],
    [
      'create with an unknown priority',
      { type: 'create', body, priority: 'urgent' },
      { param: 'priority' },
    ],
    [
      'create with an unknown continuation',
      { type: 'create', body, continuation: 'never' },
      { param: 'continuation' },
    ],
    [
      'create with metadata that is no object',
      { type: 'create', body, metadata: 'x' },
      { param: 'metadata', code: 'invalid_type' },
    ],
    [
      'create for an unknown endpoint',
      { type: 'create', endpoint: '/v1/nothing', body },
      { param: 'endpoint' },
    ],
    ['subscribe without an id', { type: 'subscribe' }, { param: 'id' }],
    ['subscribe with an id that is no string', { type: 'subscribe', id: 7 }, { param: 'id' }],
    [
      'subscribe with a malformed id',
      { type: 'subscribe', id: '../x' },
      { code: 'job_not_found' },
      { id: '../x' },
    ],
    [
      'subscribe to nothing',
      { type: 'subscribe', id: unknownId },
      { code: 'job_not_found' },
      { id: unknownId },
    ],
    [
      'subscribe to what is past every retention',
      { type: 'subscribe', id: oldId },
      { code: 'job_expired' },
      { id: oldId },
    ],
    [
      'subscribe after what is no entry id',
      { type: 'subscribe', id: unknownId, after: 'last' },
      { param: 'after', code: 'invalid_cursor' },
      { id: unknownId },
    ],
    [
      'subscribe after a number',
      { type: 'subscribe', id: unknownId, after: 3 },
      { param: 'after', code: 'invalid_cursor' },
    ],
    ['unsubscribe from nothing', { type: 'unsubscribe', id: unknownId }, { param: 'id' }],
    ['cancel of nothing', { type: 'cancel', id: 'req_1' }, { code: 'job_not_found' }],
  ];

describe('a frame that cannot be served', () => {
  it.each(bad)('%s gets an error frame', async (_what, frame, error, more = {}) => {
    const socket = await connect();
    socket.send(frame);
    const answer = await socket.next(({ type }) => type === 'error');
    expect(answer).toMatchObject({ error, ...more });
    expect(answer.error?.message).toBeTypeOf('string');
  });

  it.each([
    ['nested beyond every bound', '['.repeat(1001) + ']'.repeat(1001), 'request_too_deep'],
    ['of too many values', `[${'1,'.repeat(1800)}1]`, 'request_too_complex'],
  ])('%s gets one, wherever that is, and the socket goes on', async (_what, value, code) => {
    const socket = await connect();
    const frame = JSON.stringify({ type: 'create', ref: 'a', body: chat(short) }).slice(0, -1);
    for (const text of [
      `${frame},"metadata":{"x":${value}}}`,
      `${frame.slice(0, -1)},"x":${value}}}`,
    ]) {
      socket.send(text);
    }
    const id = await create(socket, short);
    const errors = socket.frames.filter(({ type }) => type === 'error');
    const error = { type: 'invalid_request_error', code };
    expect(errors).toMatchObject([{ error }, { error }]);
    expect((await ended(socket, id)).type).toBe('done');
  });

  it('as bytes gets one, too', async () => {
    const socket = await connect();
    socket.send(Buffer.from('{"type":"ping"}'));
    expect(await socket.next(({ type }) => type === 'error')).toMatchObject({
      error: { type: 'invalid_request_error' },
    });
  });

  it('leaves the socket and the other requests on it alone', async () => {
    const socket = await connect();
    const id = await create(socket, other(1));
    for (const [, frame] of bad) socket.send(frame);
    socket.send(Buffer.from([0, 255]));
    socket.send({ type: 'subscribe', id });
    socket.send({ type: 'ping' });
    await socket.next(({ type }) => type === 'pong');
    expect(await ended(socket, id)).toMatchObject({ type: 'done' });
    expect(contentOf(asEvents(socket.frames, id))).toBe(expectedText({ tokens: 40, seed: 1 }));
    const errors = socket.frames.filter(({ type }) => type === 'error');
    expect(errors).toHaveLength(bad.length + 2);
  });

  it('over the limit closes its socket with 1009, and no other', async () => {
    const [greedy, modest] = [await connect(), await connect()];
    const upTo = (length: number) => {
      const frame = JSON.stringify({ type: 'ping', filler: '' });
      return frame.replace('""', `"${'x'.repeat(length - frame.length)}"`);
    };
    greedy.send(upTo(frameLimit));
    await greedy.next(({ type }) => type === 'pong');
    greedy.send(upTo(frameLimit + 1));
    expect((await greedy.closed).code).toBe(1009);
    modest.send({ type: 'ping' });
    await modest.next(({ type }) => type === 'pong');
  });
});

describe('the address of the sockets', () => {
  it('asks an ordinary GET to upgrade', async () => {
    const answer = await call(`${fleet.url}/v1/ws`);
    expect(answer.status).toBe(426);
    expect(answer.headers.upgrade).toBe('websocket');
    expect(errorOf(answer)).toMatchObject({ code: 'upgrade_required' });
  });
});
