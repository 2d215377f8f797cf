import { WebSocket } from 'ws';
import { exactTime } from '../apps/simulator/src/clock.ts';
import type { Arrival, Ended, Exchange } from '../test/kit/exchange.ts';
import type { Stage } from './case.ts';

/* One request on one WebSocket, as an exchange like those over HTTP. */

type Frame = { type: string; id?: string; entry?: string; data?: unknown; error?: unknown };

/** `id`: the id of the request, once the server has sent it. */
export type SocketExchange = Pick<Exchange, 'events' | 'ended' | 'count' | 'leave'> & {
  readonly id: string | undefined;
};

const terminal = new Set(['done', 'failed', 'cancelled', 'moved', 'error']);

/** Opens a socket, sends the frame, and reads until the last event of the request on this socket. */
export function sendFrame(
  url: string,
  frame: Readonly<Record<string, unknown>>,
  { patienceMs, signal }: Pick<Stage, 'patienceMs' | 'signal'>,
): SocketExchange {
  const socket = new WebSocket(`${url.replace(/^http/u, 'ws')}/v1/ws`);
  const events: Arrival[] = [];
  const watchers = new Set<() => void>();
  const { promise: ended, resolve } = Promise.withResolvers<Ended>();
  const startedAt = exactTime();
  let id: string | undefined;
  let how: Ended['how'] = 'refused';
  const look = () => {
    for (const watcher of watchers) watcher();
  };
  const late = setTimeout(() => {
    how = 'hang';
    socket.terminate();
  }, patienceMs);
  const onAbort = () => socket.terminate();
  signal.addEventListener('abort', onAbort, { once: true });

  socket.on('open', () => {
    how = 'broken';
    socket.send(JSON.stringify(frame));
  });
  socket.on('message', (bytes: Buffer) => {
    const { type, entry, data, error, ...rest } = JSON.parse(bytes.toString('utf8')) as Frame;
    if (type === 'created') id = rest.id;
    else {
      const text = JSON.stringify(type === 'error' ? { error } : data);
      events.push({ at: exactTime(), event: type, id: entry, data: text });
    }
    if (terminal.has(type)) {
      how = 'complete';
      socket.close();
    }
    look();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    clearTimeout(late);
    signal.removeEventListener('abort', onAbort);
    const endedAt = exactTime();
    const status = how === 'refused' ? 0 : 101;
    resolve({ how, status, headers: {}, text: '', events, startedAt, endedAt });
    look();
  });

  return {
    events,
    ended,
    get id() {
      return id;
    },
    async count(wanted) {
      const counted = new Promise<void>((done) => {
        const watcher = () => {
          if (events.length < wanted) return;
          watchers.delete(watcher);
          done();
        };
        watchers.add(watcher);
        watcher();
      });
      await Promise.race([counted, ended]);
    },
    leave() {
      const at = exactTime();
      socket.terminate();
      return at;
    },
  };
}
