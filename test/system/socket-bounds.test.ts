import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aliases, chat, complete, createJob, viewJob } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket, rawFrame } from '../kit/socket.ts';
import type { Socket } from '../kit/socket.ts';

// What one WebSocket may do to the memory and the time of its ingress.

const short = 'healthy:tokens=10';
const endless = 'healthy:tokens=5000,pace=10';
const mebi = 1024 * 1024;

let fleet: Fleet;
beforeAll(async () => {
  const models = { ...aliases(short, endless), whole: `big:bytes=${mebi}` };
  fleet = await startFleet({ ingresses: 0, models, config: { limits: { ownerGrace } } });
});
afterAll(() => fleet?.close());

/** What a test leaves behind ends soon. */
const ownerGrace = '200ms';

/** An ingress with these limits, from now on. */
const start = (limits: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  fleet.replaceIngress({ limits: { ownerGrace, ...limits }, ...more });

const scrape = async () => parsePrometheus((await call(`${fleet.url}/metrics`)).text);
const bytes = async (what: string) => sumOf(await scrape(), 'millrace_bound_bytes', { what });
const ends = async (reason: string) =>
  sumOf(await scrape(), 'millrace_websocket_ends_total', { reason });
/** Call it before: resolves when one socket more has ended for this reason, and no other one. */
async function oneMoreEnd(reason: string) {
  const before = await ends(reason);
  return async () => {
    await expect.poll(() => ends(reason)).toBe(before + 1);
  };
}

/** All of it has left this side; rejects when the connection breaks before. */
const flushed = (socket: Socket, data: Buffer) =>
  new Promise<void>((resolve, reject) => {
    socket.connection.write(data, (error) => (error ? reject(error) : resolve()));
  });

/** The server has read what this socket sent, and answers. */
async function answers(socket: Socket): Promise<void> {
  const before = socket.frames.length;
  socket.send({ type: 'ping' });
  await socket.next((frame) => frame.type === 'pong' && socket.frames.indexOf(frame) >= before);
}

describe('a reader of many requests', () => {
  it('holds no more than its buffer and a few reads, however many it asks for at once', async () => {
    await start({ readerBuffer: '64KiB', readerStall: '60s' });
    const jobs = await Promise.all(
      Array.from({ length: 24 }, () => createJob(fleet.url, chat('whole'))),
    );
    for (const id of jobs) {
      await expect.poll(async () => (await viewJob(fleet.url, id)).status).toBe('completed');
    }
    const socket = await openSocket(fleet.url);
    socket.pause();
    const frames = jobs.map((id) => rawFrame('text', JSON.stringify({ type: 'subscribe', id })));
    socket.connection.write(Buffer.concat(frames));
    await expect.poll(() => bytes('reader_buffers')).toBeGreaterThan(64 * 1024);
    // Whatever was on its way has come: all of them were asked for in one go, before this.
    const other = await openSocket(fleet.url);
    for (const id of jobs.slice(0, 5)) {
      other.send({ type: 'subscribe', id });
      await other.next((frame) => frame.id === id && frame.type === 'done');
    }
    expect(await bytes('reader_buffers')).toBeLessThan(8 * mebi);
    socket.resume();
    for (const id of jobs) {
      await socket.next((frame) => frame.id === id && frame.type === 'done');
      const chunks = socket.frames.filter((frame) => frame.id === id && frame.type === 'chunk');
      expect(chunks).toHaveLength(1);
    }
    await Promise.all([socket.close(), other.close()]);
  });
});

describe('a page that has shown no key', () => {
  const keys = [{ id: 'a', secret: 'secret-a' }];
  const page = () => openSocket(fleet.url, { origin: fleet.url });
  beforeAll(() => start({ socketAuth: '5m' }, { keys }));

  it('may not begin a frame that is larger than a key', async () => {
    const ended = await oneMoreEnd('no_key');
    const socket = await page();
    socket.connection.write(rawFrame('text', 'x'.repeat(20_000), { announced: 5 * mebi }));
    expect(await socket.closed).toMatchObject({ code: 1008 });
    expect(socket.frames).toMatchObject([{ type: 'error', error: { code: 'invalid_api_key' } }]);
    await ended();
  });

  it('sees the refusal also while it still sends', async () => {
    const socket = await page();
    const large = JSON.stringify({ type: 'auth', key: 'x'.repeat(15 * mebi) });
    socket.connection.write(rawFrame('text', large));
    expect(await socket.closed).toMatchObject({ code: 1008 });
    expect(socket.frames).toMatchObject([{ type: 'error' }]);
    await expect.poll(() => bytes('request_bodies')).toBe(0);
  });

  it('is not listened to any more, nor waited for, when it does not go', async () => {
    const ended = await oneMoreEnd('no_key');
    const socket = await page();
    // Reads nothing, so that it never answers the closing handshake.
    socket.pause();
    socket.connection.write(rawFrame('text', 'x'.repeat(20_000), { announced: 10 * mebi }));
    await expect.poll(() => bytes('request_bodies')).toBeGreaterThan(10_000);
    await flushed(socket, Buffer.alloc(4 * mebi));
    expect(await bytes('request_bodies')).toBeLessThan(mebi);
    await ended();
    socket.leave();
    // The five seconds that a closing handshake may take are a part of it.
  });
});

describe('frames in the memory of an ingress', () => {
  beforeAll(() => start({ requestBodies: '128KiB' }));

  it('count as request bodies while they come, and are not held beyond the bound', async () => {
    const ended = await oneMoreEnd('busy');
    const holder = await openSocket(fleet.url);
    holder.connection.write(rawFrame('text', 'x'.repeat(50_000), { announced: 100_000 }));
    await expect.poll(() => bytes('request_bodies')).toBe(50_000);

    const large = await openSocket(fleet.url);
    large.connection.write(rawFrame('text', 'x'.repeat(100_000), { announced: mebi }));
    expect(await large.closed).toMatchObject({ code: 1013 });
    await ended();
    await expect.poll(() => bytes('request_bodies')).toBe(50_000);

    holder.leave();
    await expect.poll(() => bytes('request_bodies')).toBe(0);
  });

  it('are refused when they are complete and there is no room, and cancels are not', async () => {
    const holder = await openSocket(fleet.url);
    holder.connection.write(rawFrame('text', 'x'.repeat(120_000), { announced: 121_000 }));
    await expect.poll(() => bytes('request_bodies')).toBe(120_000);
    const filler = 'x'.repeat(20_000);
    const refused = complete(fleet.url, { ...chat(short), filler });
    expect((await refused.ended).status).toBe(503);

    const socket = await openSocket(fleet.url);
    const create = { type: 'create', body: { ...chat(short, { stream: true }), filler } };
    socket.send({ ...create, ref: 'refused' });
    expect(await socket.next(({ ref }) => ref === 'refused')).toMatchObject({
      type: 'error',
      error: { code: 'server_busy', retry_after_ms: 1000 },
    });
    await answers(socket);
    holder.leave();
    await expect.poll(() => bytes('request_bodies')).toBe(0);
    socket.send({ ...create, ref: 'taken' });
    expect(await socket.next(({ ref }) => ref === 'taken')).toMatchObject({ type: 'created' });
    await socket.next(({ type }) => type === 'done');
    await expect.poll(() => bytes('request_bodies')).toBe(0);
    await socket.close();
  });
});

describe('a frame that does not arrive', () => {
  beforeAll(() => start({ requestTimeout: '1s', headTimeout: '1s' }));

  it.each([
    ['a part of a frame', rawFrame('text', '{"type":', { announced: 100 })],
    ['a part of a head', rawFrame('text', 'x'.repeat(200)).subarray(0, 3)],
    ['a part of its fragments', rawFrame('text', '{"type":', { fin: false })],
  ])('is not waited for longer than its time: %s', async (_what, part) => {
    const ended = await oneMoreEnd('unfinished');
    const [socket, other] = [await openSocket(fleet.url), await openSocket(fleet.url)];
    await answers(socket);
    socket.connection.write(part);
    expect(await socket.closed).toMatchObject({ code: 1008 });
    await ended();
    // One that sends nothing at all is not in anybody's way.
    await answers(other);
    await other.close();
  });
});

describe('what no client may send', () => {
  beforeAll(() => start({ socketFrame: '64KiB', socketFrames: 1_000_000 }));

  it.each([
    ['a frame that says it is compressed', rawFrame('text', '{}', { rsv1: true }), 1002],
    ['text that is none', rawFrame('text', Buffer.from([0xc3, 0x28])), 1007],
    ['a fragment of nothing', rawFrame('continuation', 'x'), 1002],
  ])('%s closes its socket with the right code', async (_what, frame, code) => {
    const ended = await oneMoreEnd('malformed');
    const socket = await openSocket(fleet.url);
    socket.connection.write(frame);
    expect(await socket.closed).toMatchObject({ code });
    await ended();
  });

  it('a frame over the limit gets 1009, also while most of it is still on its way', async () => {
    const ended = await oneMoreEnd('too_large');
    const socket = await openSocket(fleet.url);
    // It looks for an answer only when it has sent everything.
    socket.pause();
    await flushed(socket, rawFrame('text', Buffer.alloc(24 * mebi, 'x')));
    socket.resume();
    expect(await socket.closed).toMatchObject({ code: 1009 });
    await ended();
  });

  it('more fragments than a message may have close it with 1008', async () => {
    const socket = await openSocket(fleet.url);
    const more = rawFrame('continuation', '', { fin: false });
    socket.connection.write(rawFrame('text', '', { fin: false }));
    socket.connection.write(Buffer.concat(Array.from({ length: 4096 }, () => more)));
    expect(await socket.closed).toMatchObject({ code: 1008 });
  });
});

describe('a flood of what is no message', () => {
  beforeAll(() => start({ socketFrames: 100 }));

  const filler = 'x'.repeat(100);
  it.each([
    ['pongs', () => rawFrame('pong', filler)],
    ['pings', () => rawFrame('ping', filler)],
    [
      'fragments',
      (i: number) => rawFrame(i === 0 ? 'text' : 'continuation', filler, { fin: i === 999 }),
    ],
  ])('of %s is read as slowly as one of messages', async (_what, frame) => {
    const [flood, other] = [await openSocket(fleet.url), await openSocket(fleet.url)];
    const thousand = Buffer.concat(Array.from({ length: 1000 }, (_, i) => frame(i)));
    // More than what the system holds.
    flood.connection.write(Buffer.concat(Array.from({ length: 300 }, () => thousand)));
    for (let round = 0; round < 30; round += 1) await answers(other);
    // What is not read waits with the one who sent it.
    expect(flood.connection.destroyed || flood.connection.writableLength > 0).toBe(true);
    flood.leave();
    await other.close();
  });

  it('of pongs is paid for before anything else is served', async () => {
    const [flood, other] = [await openSocket(fleet.url), await openSocket(fleet.url)];
    const since = Date.now();
    flood.connection.write(Buffer.concat(Array.from({ length: 300 }, () => rawFrame('pong'))));
    await answers(other);
    // The first one may have come in one go with the pongs.
    await answers(flood);
    await answers(flood);
    expect(Date.now() - since).toBeGreaterThan(1500);
    await Promise.all([flood.close(), other.close()]);
  });
});

it('a socket ends for a reason that is counted, whoever ended it', async () => {
  await start({ socketPing: '1s', socketIdle: '300ms' });
  const [closed, cut, idle] = [
    await openSocket(fleet.url),
    await openSocket(fleet.url),
    await openSocket(fleet.url),
  ];
  await closed.close();
  cut.leave();
  // Pings of its own show that it is there, and not that anybody needs it.
  const pings = setInterval(() => {
    idle.connection.write(rawFrame('ping'));
    idle.send({ type: 'ping' });
  }, 20);
  expect(await idle.closed).toMatchObject({ code: 1001 });
  clearInterval(pings);
  await expect.poll(() => ends('client')).toBe(1);
  await expect.poll(() => ends('lost')).toBe(1);
  await expect.poll(() => ends('idle')).toBe(1);
});
