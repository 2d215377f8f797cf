import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { openSocket } from '../kit/socket.ts';
import type { Socket } from '../kit/socket.ts';

// OpenAI's WebSocket mode of /v1/responses, with OpenAI's SDK where it has a word in it, and with plain frames elsewhere.

const target = (provider: string, model: string) => ({ provider, model, prefill: true });
const models = {
  text: 'healthy:tokens=20',
  slow: 'healthy:tokens=400,pace=30',
  cut: { targets: [target('primary', 'cut:after=10'), target('backup', 'prefill')] },
  two: {
    targets: ['primary', 'backup'].map((provider) => target(provider, 'healthy:tokens=60,pace=20')),
  },
  echo: 'echo',
  failing: 'status:code=400',
};

let fleet: Fleet;
beforeAll(async () => {
  const keys = ['one', 'other'].map((secret) => ({ id: `key-${secret}`, secret }));
  fleet = await startFleet({ models, config: { keys } });
});
afterAll(() => fleet.close());

const sockets: Socket[] = [];
afterEach(async () => {
  await Promise.all(sockets.splice(0).map((socket) => socket.close()));
});
async function open(secret = 'one'): Promise<Socket> {
  const headers = { authorization: `Bearer ${secret}` };
  const socket = await openSocket(fleet.url, headers, '/v1/responses');
  sockets.push(socket);
  return socket;
}

// oxlint-disable-next-line typescript/no-explicit-any -- events of many types
type Event = Record<string, any>;
const create = (model: string, more: object = {}) => ({
  type: 'response.create',
  model,
  input: 'hello',
  ...more,
});
const isEnd = ({ type }: Event) =>
  ['response.completed', 'response.failed', 'error'].includes(type);
const all = (socket: Socket) => socket.frames as readonly Event[];

/** The events of the next response on a lane, to its end. */
async function answerTo(socket: Socket, frame: object, lane?: string): Promise<Event[]> {
  const seen = socket.frames.length;
  socket.send(frame as Record<string, unknown>);
  const mine = () =>
    all(socket)
      .slice(seen)
      .filter(({ stream_id: id }) => id === lane);
  await socket.next(() => mine().some(isEnd));
  return mine();
}
const textOf = (events: readonly Event[]) =>
  events
    .filter(({ type }) => type === 'response.output_text.delta')
    .map(({ delta }) => delta)
    .join('');

test("OpenAI's SDK gets the same events as over HTTP", async () => {
  const client = new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey: 'one' });
  const http: Event[] = [];
  const stream = await client.responses.create({ model: 'text', input: 'hello', stream: true });
  for await (const event of stream) http.push(event);

  const socket = new ResponsesWS(client);
  const events: Event[] = [];
  for await (const record of socket.stream()) {
    if (record.type === 'open') {
      socket.send({ type: 'response.create', model: 'text', input: 'hello' });
    }
    if (record.type === 'error') throw record.error;
    if (record.type !== 'message') continue;
    events.push(record.message);
    if (isEnd(record.message)) break;
  }
  socket.close();
  expect(events.map(({ type }) => type)).toEqual(http.map(({ type }) => type));
  expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, at) => at));
  expect(textOf(events)).toBe(expectedText({ tokens: 20 }));
  expect(events.at(-1)?.['response'].usage).toEqual(http.at(-1)?.['response'].usage);
});

describe('a turn', () => {
  test('is whole after a provider has broken off', async () => {
    const events = await answerTo(await open(), create('cut'));
    expect(textOf(events)).toBe(expectedText({ tokens: 60 }));
    expect(events.filter(isEnd)).toHaveLength(1);
    expect(events.filter(({ type }) => type === 'response.created')).toHaveLength(1);
  });

  test('is whole after its worker was killed', async () => {
    const socket = await open();
    const answer = answerTo(socket, create('two'));
    await socket.next(() => textOf(all(socket)).length > 40);
    await fleet.killWorkers();
    await fleet.addWorker();
    const events = await answer;
    expect(textOf(events)).toBe(expectedText({ tokens: 60 }));
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, at) => at));
  });

  test('is cancelled when its socket closes', async () => {
    const socket = await open();
    socket.send(create('slow', { user: 'leaves' }));
    await socket.next(({ type }) => type === 'response.output_text.delta');
    socket.leave();
    const { state } = await fleet.primary.waitFor(
      ({ body, state: now }) => (body as Event)['user'] === 'leaves' && now !== 'open',
    );
    expect(state).toBe('aborted by client');
  });

  test('waits for the one before it on the same lane, and for none of another lane', async () => {
    const socket = await open();
    const order: string[] = [];
    const ask = async (name: string, model: string, lane: string) => {
      await answerTo(socket, create(model, { stream_id: lane }), lane);
      order.push(name);
    };
    const slow = ask('slow', 'slow', 'a');
    await socket.next(({ type }) => type === 'response.output_text.delta');
    socket.send(create('text', { stream_id: 'a' }));
    await ask('other lane', 'text', 'b');
    const created = () =>
      all(socket).filter(
        ({ type, stream_id: lane }) => type === 'response.created' && lane === 'a',
      );
    expect(created()).toHaveLength(1);
    fleet.hurry();
    await slow;
    await socket.next(() => created().length === 2);
    await socket.next(
      () => all(socket).filter(({ type }) => type === 'response.completed').length === 3,
    );
    expect(order).toEqual(['other lane', 'slow']);
    fleet.primary.reset();
  });
});

describe('a conversation', () => {
  const asked = async (events: readonly Event[]) => {
    const id: string = events.at(-1)?.['response'].id;
    expect(id).toMatch(/^resp_/);
    return id;
  };
  const lastBody = () => JSON.stringify(fleet.primary.requests.at(-1)?.body);

  test('goes on from a response that is not stored, on its connection only', async () => {
    const socket = await open();
    const first = await answerTo(socket, create('text', { store: false, input: 'what first' }));
    const previous = { previous_response_id: await asked(first) };
    const next = create('text', { ...previous, store: false, input: 'and then' });
    const second = await answerTo(socket, next);
    expect(second.at(-1)).toMatchObject({ type: 'response.completed', response: previous });
    expect(lastBody()).toMatch(/what first.*simulated answer.*and then/);

    const elsewhere = await answerTo(await open(), next);
    expect(elsewhere).toMatchObject([
      { type: 'error', status: 404, error: { code: 'previous_response_not_found' } },
    ]);
    // The lane has a newer one now.
    const again = await answerTo(socket, next);
    expect(again).toMatchObject([{ error: { code: 'previous_response_not_found' } }]);
  });

  test('goes on from a stored response, on any connection of its key, and on another lane', async () => {
    const previous = {
      previous_response_id: await asked(await answerTo(await open(), create('text'))),
    };
    const next = create('text', { ...previous, stream_id: 'fork', input: 'and then' });
    const events = await answerTo(await open(), next, 'fork');
    expect(events.at(-1)).toMatchObject({ type: 'response.completed', stream_id: 'fork' });
    const foreign = await answerTo(await open('other'), next, 'fork');
    expect(foreign).toMatchObject([
      { status: 404, error: { code: 'previous_response_not_found' } },
    ]);
  });

  test('goes on from a request that generates nothing', async () => {
    const socket = await open();
    const before = fleet.primary.requests.length;
    const warm = await answerTo(
      socket,
      create('text', { generate: false, store: false, input: 'what is known' }),
    );
    expect(warm.map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.completed',
    ]);
    expect(warm.at(-1)?.['response']).toMatchObject({ output: [], status: 'completed' });
    expect(fleet.primary.requests).toHaveLength(before);
    const previous = { previous_response_id: await asked(warm) };
    const events = await answerTo(socket, create('text', { ...previous, input: 'and then' }));
    expect(textOf(events)).toBe(expectedText({ tokens: 20 }));
    expect(lastBody()).toMatch(/what is known.*and then/);
  });

  test('starts anew after a turn that failed', async () => {
    const socket = await open();
    const previous = {
      previous_response_id: await asked(await answerTo(socket, create('text', { store: false }))),
    };
    const failed = await answerTo(socket, create('failing', previous));
    expect(failed).toMatchObject([{ type: 'error', status: 400 }]);
    const again = await answerTo(socket, create('text', previous));
    expect(again).toMatchObject([{ error: { code: 'previous_response_not_found' } }]);
  });

  test('goes on in jobs and on the other WebSocket, too', async () => {
    const previous_response_id = await asked(await answerTo(await open(), create('text')));
    const body = { model: 'text', input: 'and then', previous_response_id };
    const job = await fetch(`${fleet.url}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer one' },
      body: JSON.stringify({ endpoint: '/v1/responses', body }),
    });
    expect(job.status).toBe(202);
    await fleet.primary.waitFor((request) => JSON.stringify(request.body).includes('and then'));

    const frame = { type: 'create', endpoint: '/v1/responses', body };
    for (const [secret, type] of [
      ['one', 'done'],
      ['other', 'error'],
    ] as const) {
      const socket = await openSocket(fleet.url, { authorization: `Bearer ${secret}` });
      sockets.push(socket);
      socket.send(frame);
      const end = await socket.next((one) => one.type === 'done' || one.type === 'error');
      const code = type === 'error' ? 'previous_response_not_found' : undefined;
      expect([end.type, end.error?.code]).toEqual([type, code]);
    }
  });
});

test('what a connection remembered and what conversations took is given back', async () => {
  const held = async () =>
    sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), 'millrace_bound_bytes', {
      what: 'request_bodies',
    });
  await expect.poll(held).toBe(0);
  const socket = await open();
  const first = await answerTo(socket, create('text', { store: false, input: 'x'.repeat(1000) }));
  expect(await held()).toBeGreaterThan(1000);
  const previous_response_id: string = first.at(-1)?.['response'].id;
  await answerTo(socket, create('text', { previous_response_id, store: false }));
  await answerTo(socket, create('failing', { previous_response_id }));
  await answerTo(socket, create('text', { previous_response_id: 'resp_none' }));
  await socket.close();
  await expect.poll(held).toBe(0);
});

describe('a frame that cannot be served', () => {
  test.each([
    ['{', { status: 400, error: { code: 'invalid_json' } }],
    ['[]', { status: 400 }],
    [Buffer.from('{}'), { status: 400 }],
    [{ type: 'create' }, { status: 400, error: { code: 'unknown_frame_type' } }],
    [create('text', { stream_id: 5 }), { status: 400, error: { param: 'stream_id' } }],
    [create('text', { stream_id: 'x'.repeat(201) }), { error: { param: 'stream_id' } }],
    [create('text', { generate: 'no' }), { error: { param: 'generate' } }],
    [create('text', { background: true }), { error: { param: 'background' } }],
    [create('text', { input: 5 }), { error: { param: 'input' } }],
    [create('text', { previous_response_id: 5 }), { error: { param: 'previous_response_id' } }],
    [create('unknown'), { status: 404, error: { code: 'model_not_found' } }],
  ])('%j is answered with an error, and the next one is served', async (frame, expected) => {
    const socket = await open();
    socket.send(frame);
    expect(await socket.next(isEnd)).toMatchObject({ type: 'error', ...expected });
    const lane = 'next';
    const events = await answerTo(socket, create('text', { stream_id: lane }), lane);
    expect(textOf(events)).toBe(expectedText({ tokens: 20 }));
  });

  test('is one of a 33rd lane', async () => {
    const socket = await open();
    // A lane that has failed is none; one that remembers a response is one.
    socket.send({ type: 'response.create', stream_id: 'failed' });
    for (let lane = 0; lane < 33; lane += 1) {
      socket.send(create('text', { generate: false, stream_id: `lane ${lane}` }));
    }
    const last = await socket.next((frame) => (frame as Event)['stream_id'] === 'lane 32');
    expect(last).toMatchObject({ status: 400, error: { code: 'websocket_stream_limit_reached' } });
    const ended = () => all(socket).filter(({ type }) => type === 'response.completed').length;
    await socket.next(() => ended() === 32);
  });

  test('is a fourth one on a lane whose first one runs', async () => {
    const socket = await open();
    socket.send(create('slow'));
    for (let turn = 0; turn < 3; turn += 1) socket.send(create('text'));
    const refused = await socket.next(({ type }) => type === 'error');
    expect(refused).toMatchObject({ status: 429, error: { code: 'too_many_requests_on_socket' } });
    fleet.hurry();
    const ended = () => all(socket).filter(({ type }) => type === 'response.completed').length;
    await socket.next(() => ended() === 3);
    fleet.primary.reset();
  });
});

test('a handshake without a valid key is refused, and a GET without an upgrade, too', async () => {
  const path = '/v1/responses';
  await expect(openSocket(fleet.url, { authorization: 'Bearer wrong' }, path)).rejects.toThrow(
    '401',
  );
  await expect(openSocket(fleet.url, {}, path)).rejects.toThrow('401');
  const plain = await fetch(`${fleet.url}${path}`, { headers: { authorization: 'Bearer one' } });
  expect(plain.status).toBe(405);
});

test('an ingress that drains takes no new turn, lets the others end, and closes the connection', async () => {
  const second = await fleet.addIngress();
  const headers = { authorization: 'Bearer one' };
  const socket = await openSocket(second.url, headers, '/v1/responses');
  const idle = await openSocket(second.url, headers, '/v1/responses');
  socket.send(create('slow'));
  await socket.next(({ type }) => type === 'response.output_text.delta');
  const stopped = second.stop('SIGTERM');
  expect((await idle.closed).code).toBe(1012);
  socket.send(create('text', { stream_id: 'late' }));
  const late = await socket.next((frame) => (frame as Event)['stream_id'] === 'late');
  expect(late).toMatchObject({ status: 503, error: { code: 'server_shutting_down' } });
  fleet.hurry();
  await socket.next(({ type }) => type === 'response.completed');
  expect((await socket.closed).code).toBe(1012);
  expect(await stopped).toBe(0);
  fleet.primary.reset();
});
