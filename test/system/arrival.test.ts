import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { aliases, chat, complete } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, open } from '../kit/http.ts';
import { userOf } from '../kit/observe.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket, rawFrame } from '../kit/socket.ts';

const model = 'healthy:tokens=10';
const endless = 'healthy:tokens=5000,pace=10';

let fleet: Fleet;
beforeAll(async () => {
  const models = aliases(model, endless);
  fleet = await startFleet({ ingresses: 0, models, config: { limits: { ownerGrace } } });
});
afterAll(() => fleet?.close());

/** What a test leaves behind ends soon. */
const ownerGrace = '200ms';

/** An ingress with these limits, from now on. */
const start = (limits: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  fleet.replaceIngress({ limits: { ownerGrace, ...limits }, ...more });

/** A client that sends what it is told to; everything that came once it is closed. */
async function raw(text: string): Promise<{ socket: Socket; ended: Promise<string> }> {
  const { hostname, port } = new URL(fleet.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  let received = '';
  socket.on('data', (part: Buffer) => (received += part.toString()));
  socket.on('error', () => {});
  if (text !== '') socket.write(text);
  return { socket, ended: once(socket, 'close').then(() => received) };
}

const post = (length: number) =>
  `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;

describe('an ingress with short times', () => {
  beforeAll(() =>
    start({
      headTimeout: '1s',
      requestTimeout: '2s',
      keepAlive: '100ms',
      // A single pong that is later than this is taken for death.
      socketPing: '1s',
    }),
  );

  describe('a request that does not arrive', () => {
    it('is ended, whether it says nothing, a part of its head or a part of its body', async () => {
      const slow = complete(fleet.url, chat(endless, { stream: true }));
      await slow.head;
      const clients = await Promise.all([
        raw(''),
        raw('GET /v1/models HTTP/1.1\r\nHost: local'),
        raw(`${post(100)}{"model"`),
      ]);
      const received = await Promise.all(clients.map(({ ended }) => ended));
      for (const text of received) expect(text).toMatch(/^HTTP\/1\.1 408 /);
      // An answer that is under way takes as long as it takes.
      const seen = slow.text.length;
      await slow.until(({ text }) => text.length > seen + 1000);
      slow.leave();
    });

    it('is ended also when a byte comes now and then', async () => {
      const { socket, ended } = await raw('GET /v1/models HTTP/1.1\r\n');
      const drip = setInterval(() => socket.write('a'), 20);
      expect(await ended).toMatch(/^HTTP\/1\.1 408 /);
      clearInterval(drip);
    });
  });

  describe('a body that drips', () => {
    it('is ended when its time is over, and holds no memory from then on', async () => {
      // It would take 18 s.
      const { socket, ended } = await raw(post(90_000));
      const drip = setInterval(() => socket.write('x'.repeat(100)), 20);
      expect(await ended).toMatch(/^HTTP\/1\.1 408 /);
      clearInterval(drip);
      const held = async () => {
        const { text } = await call(`${fleet.url}/metrics`);
        return sumOf(parsePrometheus(text), 'millrace_bound_bytes', { what: 'request_bodies' });
      };
      await expect.poll(held).toBe(0);
    });
  });

  describe('a stream that waits in the queue', () => {
    it('is kept alive with comments until it starts', async () => {
      await fleet.killWorkers();
      const waiting = complete(fleet.url, chat(model, { stream: true }));
      await waiting.until(({ text }) => text.split('\n').length > 4);
      expect((await waiting.head).status).toBe(200);
      expect(waiting.text.replaceAll(/^:.*\n/gm, '')).toBe('');
      await fleet.addWorker();
      const answer = await waiting.ended;
      expect(answer.text).toContain('[DONE]');
      expect(answer.text.replaceAll(/^:.*\n/gm, '')).toMatch(/^data: /);
    });
  });

  describe('a WebSocket', () => {
    const address = () => `${fleet.url.replace('http', 'ws')}/v1/ws`;

    it('whose peer is dead is noticed, and its requests end like those of one who left', async () => {
      const dead = new WebSocket(address(), { autoPong: false });
      await once(dead, 'open');
      const closed = once(dead, 'close');
      const body = chat(endless, { stream: true, user: 'dead' });
      dead.send(JSON.stringify({ type: 'create', body }));
      const { number } = await fleet.primary.waitFor(
        (one) => userOf(one) === 'dead' && one.state === 'open',
      );
      await fleet.primary.waitFor(
        (one) => one.number === number && one.state === 'aborted by client',
      );
      expect((await closed)[0]).toBe(1006);
    });

    it('whose peer answers stays, and is pinged again and again', async () => {
      const alive = new WebSocket(address());
      await once(alive, 'open');
      for (let pings = 0; pings < 3; pings += 1) await once(alive, 'ping');
      expect(alive.readyState).toBe(WebSocket.OPEN);
      alive.close();
    });

    it('gets no compression, whatever it offers', async () => {
      const socket = new WebSocket(address(), { perMessageDeflate: { threshold: 0 } });
      await once(socket, 'open');
      expect(socket.extensions).toBe('');
      socket.close();
    });
  });
});

const keys = [
  { id: 'a', secret: 'secret-a' },
  { id: 'b', secret: 'secret-b' },
];
const behindProxy = {
  trustedProxies: ['127.0.0.0/8'],
  cors: { origins: ['https://app.example'] },
};

describe('connections of one key', () => {
  beforeAll(() => start({ connectionsPerKey: 2 }, { keys, listen: behindProxy }));
  const as = (key: string) => ({ authorization: `Bearer secret-${key}` });

  it('have a limit of their own, also as WebSockets', async () => {
    const first = await openSocket(fleet.url, as('a'));
    const second = open(`${fleet.url}/v1/chat/completions`, {
      body: chat(endless, { stream: true }),
      headers: as('a'),
    });
    await second.head;
    const refused = await call(`${fleet.url}/v1/models`, { headers: as('a') });
    expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '1' } });
    expect(errorOf(refused)).toMatchObject({ code: 'too_many_connections' });
    await expect(openSocket(fleet.url, as('a'))).rejects.toThrow('429');
    expect((await call(`${fleet.url}/v1/models`, { headers: as('b') })).status).toBe(200);

    await first.close();
    const answer = async () => (await call(`${fleet.url}/v1/models`, { headers: as('a') })).status;
    await expect.poll(answer).toBe(200);
    second.leave();
  });

  it('count also for a key that a page shows in its first message', async () => {
    // Another key than that of the test before, whose last stream may still be on its way out.
    const others = [await openSocket(fleet.url, as('b')), await openSocket(fleet.url, as('b'))];
    const page = await openSocket(fleet.url, { origin: 'https://app.example' });
    page.send({ type: 'auth', key: 'secret-b' });
    expect(await page.closed).toMatchObject({ code: 1008 });
    expect(page.frames).toMatchObject([{ error: { code: 'too_many_connections' } }]);
    await Promise.all(others.map((other) => other.close()));
  });
});

describe('connections from one address', () => {
  it('have a limit, and health is told all the same', async () => {
    await start({ connectionsPerAddress: 2 });
    const sockets = [await openSocket(fleet.url), await openSocket(fleet.url)];
    const refused = await call(`${fleet.url}/v1/models`);
    expect(refused.status).toBe(429);
    expect(refused.headers.connection).toBe('close');
    expect((await call(`${fleet.url}/healthz`)).status).toBe(200);
    await sockets[0]?.close();
    await expect.poll(async () => (await call(`${fleet.url}/v1/models`)).status).toBe(200);
    await sockets[1]?.close();
  });
});

describe('connections through a trusted proxy', () => {
  const key = { authorization: 'Bearer secret-a' };
  const statusFrom = async (client: string) => {
    const headers = { ...key, 'x-forwarded-for': client };
    return (await call(`${fleet.url}/v1/models`, { headers })).status;
  };

  it('count for the client behind it, while it has a request or a WebSocket', async () => {
    await start({ connectionsPerAddress: 2 }, { keys, listen: behindProxy });
    for (let i = 0; i < 5; i += 1) expect(await statusFrom('203.0.113.7')).toBe(200);
    const headers = { ...key, 'x-forwarded-for': '203.0.113.7' };
    const socket = await openSocket(fleet.url, headers);
    const stream = complete(fleet.url, chat(endless, { stream: true }), headers);
    await stream.head;
    expect(await statusFrom('203.0.113.7')).toBe(429);
    await expect(openSocket(fleet.url, headers)).rejects.toThrow('429');
    expect(await statusFrom('203.0.113.8')).toBe(200);
    await socket.close();
    await expect.poll(() => statusFrom('203.0.113.7')).toBe(200);
    stream.leave();
  });
});

describe('request bodies', () => {
  beforeAll(() => start({ requestBodies: '64KiB' }));

  it('are not held beyond the bound, and those that fit are served', async () => {
    const filler = 'x'.repeat(40_000);
    // Most of a body stands there, and holds the memory that another one would need.
    const holder = await raw(`${post(50_000)}${filler}`);
    const big = { ...chat(model), filler };
    const refused = async () => (await complete(fleet.url, big).ended).status;
    await expect.poll(refused).toBe(503);
    const answer = await complete(fleet.url, big).ended;
    expect(answer.headers['retry-after']).toBe('1');
    expect(errorOf(answer).code).toBe('server_busy');
    expect((await complete(fleet.url, chat(model)).ended).status).toBe(200);
    holder.socket.destroy();
    await expect.poll(refused).toBe(200);
  });

  it('are held no longer than the queue needs to take them', async () => {
    const big = { ...chat(endless, { stream: true }), filler: 'x'.repeat(40_000) };
    const streams = [];
    for (let i = 0; i < 4; i += 1) {
      const one = complete(fleet.url, big);
      expect((await one.head).status).toBe(200);
      streams.push(one);
    }
    for (const one of streams) one.leave();
  });
});

describe('a WebSocket', () => {
  const create = JSON.stringify({ type: 'create', body: chat(endless, { stream: true }) });

  it('that nobody uses is closed, and one with a request is not', async () => {
    await start({ socketPing: '1s', socketIdle: '300ms' });
    const used = await openSocket(fleet.url);
    used.send(create);
    const unused = await openSocket(fleet.url);
    expect(await unused.closed).toMatchObject({ code: 1001 });
    const chunks = used.frames.length;
    await used.next((frame) => used.frames.indexOf(frame) > chunks + 20);
    used.leave();
  });
});

describe('a WebSocket that may send 100 frames in a second', () => {
  const frames = 100;
  beforeAll(() => start({ socketFrames: frames }));

  it('with a flood of tiny frames is read slowly, and others are served', async () => {
    const flood = await openSocket(fleet.url);
    const thousand = Buffer.concat(
      Array.from({ length: 1000 }, () => rawFrame('text', '{"type":"ping"}')),
    );
    const thousands = 1000;
    // Much more than the kernel usually takes.
    flood.connection.write(Buffer.concat(Array.from({ length: thousands }, () => thousand)));
    const other = await openSocket(fleet.url);
    for (let round = 0; round < 50; round += 1) {
      other.send({ type: 'ping' });
      await other.next(() => other.frames.length > round);
    }
    // What is not read waits with the one who sent it.
    expect(flood.connection.writableLength).toBeGreaterThan(0);
    expect(flood.frames.length).toBeLessThan((thousands * 1000) / 4);
    flood.leave();
    await other.close();
  });

  it('with more frames than it may send at once gets all its answers, and the next one later', async () => {
    const socket = await openSocket(fleet.url);
    const many = 1.5 * frames;
    const since = performance.now();
    for (let i = 0; i < many; i += 1) socket.send({ type: 'ping' });
    await socket.next(() => socket.frames.length === many);
    // Those that arrive together are served together: what they were too many, the next one waits for.
    socket.send({ type: 'ping' });
    await socket.next(() => socket.frames.length > many);
    // The clock of the ingress has whole milliseconds.
    expect(performance.now() - since).toBeGreaterThan(((many - frames) / frames) * 1000 - 5);
    expect(new Set(socket.frames.map(({ type }) => type))).toEqual(new Set(['pong']));
    await socket.close();
  });
});
