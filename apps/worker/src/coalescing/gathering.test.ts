import { createServer as createHttp } from 'node:http';
import type { RequestListener, ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { makeServer } from '../../../../test/kit/certificates.ts';
import { ask, listen, startPool } from '../upstream/pool/pool.fixture.ts';
import { createGathering } from './gathering.ts';
import type { Gathering } from './gathering.ts';

const certificates = makeServer();

/** A provider whose answers are written by the test, and one request to it over a pool that gathers. */
async function rig(ms: number, { isTls = false } = {}) {
  const responses: ServerResponse[] = [];
  const answer: RequestListener = (request, response) => {
    request.resume();
    responses.push(response);
    response.write('head;');
  };
  const server = isTls ? createHttps(certificates.server, answer) : createHttp(answer);
  const at = await listen(server);
  const window = { ms };
  const gathering = createGathering(window);
  let reads = 0;
  let readAt = -Infinity;
  const counting: Gathering = {
    ...gathering,
    wasRead(socket) {
      // The records of TLS come one by one, in one turn.
      const now = performance.now();
      if (now - readAt > 3) reads += 1;
      readAt = now;
      gathering.wasRead(socket);
    },
  };
  const pool = startPool({
    ...at,
    connections: 1,
    gathering: counting,
    ...(isTls && { ca: certificates.authority.cert }),
  });
  return {
    window,
    gathering,
    pool,
    responses,
    /** Of streams that gather: turns in which they were read. */
    reads: () => reads,
    async [Symbol.asyncDispose]() {
      pool[Symbol.dispose]();
      await at[Symbol.asyncDispose]();
    },
  };
}

/** Writes so many parts, each in a packet of its own. */
async function write(response: ServerResponse | undefined, parts: number): Promise<void> {
  for (let i = 0; i < parts; i++) {
    response?.write(`${i};`);
    await sleep(5);
  }
}

test.each([
  ['', false],
  [' over TLS', true],
])(
  'a stream%s that gathers is read once in its window, and the text is the same',
  async (_, isTls) => {
    await using one = await rig(60, { isTls });
    const { call, outcome, pieces } = ask(one.pool);
    await expect.poll(() => pieces.length).toBe(1);
    call.gather(true);
    const since = performance.now();
    await write(one.responses[0], 40);
    one.responses[0]?.end('end');
    const text = Array.from({ length: 40 }, (_, i) => `${i};`).join('');
    expect(await outcome).toBe(`200 head;${text}end`);
    expect(one.reads()).toBeLessThanOrEqual((performance.now() - since) / 60 + 2);
  },
);

test('a stream that does not gather is read as it comes', async () => {
  await using one = await rig(60);
  const { outcome } = ask(one.pool);
  await write(await first(one.responses), 10);
  expect(one.gathering.resting).toBe(0);
  one.responses[0]?.end('end');
  await outcome;
  expect(one.reads()).toBe(0);
});

test('without a window nothing rests', async () => {
  await using one = await rig(0);
  const { call, outcome, pieces } = ask(one.pool);
  await expect.poll(() => pieces.length).toBe(1);
  call.gather(true);
  await write(one.responses[0], 20);
  expect(one.gathering.resting).toBe(0);
  one.responses[0]?.end('end');
  await outcome;
  expect(one.reads()).toBeGreaterThan(9);
});

test('a stream that gathers no more is read at once, whatever its window', async () => {
  await using one = await rig(60_000);
  const { call, outcome, pieces } = ask(one.pool);
  await expect.poll(() => pieces.length).toBe(1);
  call.gather(true);
  one.responses[0]?.write('a');
  await expect.poll(() => one.gathering.resting).toBe(1);
  one.responses[0]?.write('b');
  call.gather(false);
  one.responses[0]?.end('c');
  expect(await outcome).toBe('200 head;abc');
});

test('the next request on a connection does not inherit the window of the one before', async () => {
  await using one = await rig(60_000);
  const before = ask(one.pool);
  await expect.poll(() => before.pieces.length).toBe(1);
  before.call.gather(true);
  one.responses[0]?.end('end');
  expect(await before.outcome).toBe('200 head;end');
  const next = ask(one.pool);
  await expect.poll(() => one.responses.length).toBe(2);
  await write(one.responses[1], 3);
  one.responses[1]?.end();
  expect(await next.outcome).toBe('200 head;0;1;2;');
});

test('a provider that hangs up in a window is noticed at its end, with all that it sent', async () => {
  await using one = await rig(60);
  const { call, outcome, pieces } = ask(one.pool);
  await expect.poll(() => pieces.length).toBe(1);
  call.gather(true);
  one.responses[0]?.write('a');
  await expect.poll(() => one.gathering.resting).toBe(1);
  one.responses[0]?.write('b');
  await sleep(5);
  one.responses[0]?.destroy();
  expect(await outcome).toContain('upstream_reset');
  expect(pieces.join('')).toBe('head;ab');
});

async function first(responses: readonly ServerResponse[]): Promise<ServerResponse> {
  await expect.poll(() => responses.length).toBe(1);
  return responses[0] as ServerResponse;
}
