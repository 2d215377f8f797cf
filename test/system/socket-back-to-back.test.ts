import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aliases, chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { openSocket, rawFrame } from '../kit/socket.ts';
import type { Socket } from '../kit/socket.ts';

// Messages without a gap between them: a read ends in the middle of one, every time.

const short = 'healthy:tokens=10';
const requestTimeoutMs = 2000;

let fleet: Fleet;
beforeAll(async () => {
  const time = `${requestTimeoutMs}ms`;
  // Without pings: the answer to one would go into the middle of a frame that is sent in parts.
  const limits = { requestTimeout: time, headTimeout: time, socketPing: '1h' };
  fleet = await startFleet({ models: aliases(short), config: { limits } });
});
afterAll(() => fleet.close());

/** In two parts: what is sent of it behind the message before it, and the rest. */
function halves(ref: number): [Buffer, Buffer] {
  const body = chat(short, { stream: true });
  const frame = rawFrame('text', JSON.stringify({ type: 'create', ref: String(ref), body }));
  return [frame.subarray(0, 50), frame.subarray(50)];
}

const done = async (socket: Socket, ref: number) => {
  const { id } = await socket.next((frame) => frame.ref === String(ref));
  await socket.next((frame) => frame.id === id && frame.type === 'done');
};

it('each of them has its own time, and one that stays unfinished is cut', async () => {
  const socket = await openSocket(fleet.url);
  let [first, rest] = halves(0);
  socket.connection.write(first);
  const since = Date.now();
  let ref = 0;
  for (; Date.now() - since < 2 * requestTimeoutMs; ref += 1) {
    const [nextFirst, nextRest] = halves(ref + 1);
    socket.connection.write(Buffer.concat([rest, nextFirst]));
    rest = nextRest;
    await done(socket, ref);
    // So slow is its link.
    await setTimeout(50);
  }
  socket.connection.write(rest);
  await done(socket, ref);
  expect(socket.frames.filter(({ type }) => type === 'error')).toEqual([]);

  [first] = halves(ref + 1);
  socket.connection.write(first);
  expect(await socket.closed).toMatchObject({ code: 1008 });
}, 60_000);
