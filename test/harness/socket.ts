import { once } from 'node:events';
import WebSocket from 'ws';

/** A frame as it came. */
export type Frame = {
  type: string;
  id?: string;
  ref?: string;
  entry?: string;
  data?: Record<string, unknown>;
  error?: { message: string; code: string | null; param: string | null };
};

export type Socket = {
  /** Every frame so far, as text and parsed. */
  readonly texts: readonly string[];
  readonly frames: readonly Frame[];
  /** Objects are sent as JSON, texts and bytes as they are. */
  send(frame: Record<string, unknown> | string | Buffer): void;
  /** The first frame that satisfies, come already or still to come; rejects when the socket closes before. */
  next(satisfied: (frame: Frame) => boolean): Promise<Frame>;
  /** How the server closed it, or `close` did. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** With a closing handshake. */
  close(): Promise<void>;
  /** Without one; gives back the time, in milliseconds since the epoch. */
  cut(): number;
};

export async function openSocket(
  url: string,
  headers: Record<string, string> = {},
): Promise<Socket> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/ws`, { headers });
  const texts: string[] = [];
  const frames: Frame[] = [];
  const watchers = new Set<() => void>();
  const wake = () => {
    for (const look of watchers) look();
  };
  socket.on('message', (data: Buffer) => {
    const text = data.toString('utf8');
    texts.push(text);
    frames.push(JSON.parse(text) as Frame);
    wake();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code: number, reason: Buffer) => {
      resolve({ code, reason: reason.toString('utf8') });
      wake();
    });
  });
  await once(socket, 'open');
  socket.on('error', () => {});
  return {
    texts,
    frames,
    closed,
    send(frame) {
      const isRaw = typeof frame === 'string' || Buffer.isBuffer(frame);
      socket.send(isRaw ? frame : JSON.stringify(frame));
    },
    next(satisfied) {
      return new Promise((resolve, reject) => {
        const look = () => {
          const found = frames.find(satisfied);
          if (found) resolve(found);
          else if (socket.readyState === WebSocket.CLOSED) {
            reject(new Error(`the socket closed before: ${texts.at(-1)}`));
          } else return;
          watchers.delete(look);
        };
        watchers.add(look);
        look();
      });
    },
    async close() {
      socket.close();
      await closed;
    },
    cut() {
      const at = Date.now();
      socket.terminate();
      return at;
    },
  };
}
