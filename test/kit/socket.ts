import { once } from 'node:events';
import type { Socket as Connection } from 'node:net';
import WebSocket from 'ws';

/** A received frame. */
export type Frame = {
  type: string;
  id?: string;
  ref?: string;
  entry?: string;
  data?: Record<string, unknown>;
  error?: {
    message: string;
    code: string | null;
    param: string | null;
    request_id: string;
    retry_after_ms?: number;
  };
};

export type Socket = {
  /** Every frame so far, as text and parsed. */
  readonly texts: readonly string[];
  readonly frames: readonly Frame[];
  /** Objects are sent as JSON, texts and bytes unchanged. */
  send(frame: Record<string, unknown> | string | Buffer): void;
  /**
   * The first frame that satisfies the predicate, received already or later; rejects if the socket closes
   * before.
   */
  next(satisfied: (frame: Frame) => boolean): Promise<Frame>;
  /** How the server closed it, or `close` did. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Closes with a handshake. */
  close(): Promise<void>;
  /** Reads nothing until `resume`. */
  pause(): void;
  resume(): void;
  /** The connection below the frames. */
  readonly connection: Connection;
  /** Closes without a handshake; returns the time, in milliseconds since the epoch. */
  leave(): number;
};

export async function openSocket(
  url: string,
  headers: Record<string, string> = {},
  path = '/v1/ws',
): Promise<Socket> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}${path}`, { headers });
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
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    connection: (socket as unknown as { _socket: Connection })._socket,
    async close() {
      socket.close();
      await closed;
    },
    leave() {
      const at = Date.now();
      socket.terminate();
      return at;
    },
  };
}

const opcodes = { continuation: 0, text: 1, ping: 9, pong: 10 };

export type RawFrame = {
  fin?: boolean;
  /** Marks the frame as compressed. */
  rsv1?: boolean;
  /** The length in its head, if it differs from the real one. */
  announced?: number;
};

/** The bytes of a frame as a client sends it, also of an invalid one. */
export function rawFrame(
  opcode: keyof typeof opcodes,
  payload: string | Buffer = '',
  { fin = true, rsv1 = false, announced }: RawFrame = {},
): Buffer {
  const bytes = Buffer.from(payload);
  const length = announced ?? bytes.length;
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(length));
  const [short, from] = length < 126 ? [length, 8] : length < 65_536 ? [126, 6] : [127, 0];
  const first = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcodes[opcode];
  // A mask of zeros changes nothing.
  return Buffer.concat([
    Buffer.from([first, 0x80 | (short ?? 0)]),
    size.subarray(from),
    Buffer.alloc(4),
    bytes,
  ]);
}
