import type { Socket } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import type { ReadingGate } from '../../delivery/backpressure.ts';
import type { BodyBudget } from '../../server/limits.ts';
import { createFrameRate } from './frame-rate.ts';
import { createFrameScanner } from './frame-scanner.ts';
import { closingMs } from './close-codes.ts';

/** What arrives on a WebSocket before it is a message: how much, how fast, for how long. */
export type SocketArrival = {
  /** Its key is known: a message may be as large as `limits.socketFrame`. */
  admit(): void;
};

export type SocketArrivalOptions = {
  socket: WebSocket;
  raw: Socket;
  gate: ReadingGate;
  bodies: BodyBudget;
  limits: { socketFrames: number; requestBodiesBytes: number; requestTimeoutMs: number };
  /** A message that is larger than a key can be, of one who has shown none. */
  onStranger(): void;
  /** There is no memory for the rest of a large message. */
  onBusy(): void;
  /** A message was not complete in time. */
  onUnfinished(): void;
};

/** Fragments of one message: what clients that send 4 KiB at a time make of the largest by default. */
const maxFragments = 4096;
/** Reads of a connection that one frame may come in: what waits for its end costs more than its bytes. */
const maxBufferedChunks = 32 * 1024;
/** Answers to pings that its client does not take, before it is cut. */
const maxPendingAutoPongs = 16;

/** Options of ws. */
export const socketOptions = ({ socketFrameBytes }: { socketFrameBytes: number }) => ({
  maxPayload: socketFrameBytes,
  maxFragments,
  maxBufferedChunks,
  maxPendingAutoPongs,
  closeTimeout: closingMs,
  // Without compression: its windows cost more per socket than all else, and bombs come packed.
  perMessageDeflate: false,
  // None is spoken here: ws alone would agree to the first one that a client names.
  handleProtocols: () => false as const,
});

/** Bytes of the message that shows a key: as many as the head of a request may have. */
export const maxKeyFrame = 16 * 1024;

/**
 * Bytes up to which a message is let in while there is no room for bodies: about what one read of a
 * connection brings. It is refused when it is complete, and its socket stays.
 */
const smallMessage = 64 * 1024;

export function watchArrival(options: SocketArrivalOptions): SocketArrival {
  const { socket, raw, gate, bodies, limits } = options;
  const scanner = createFrameScanner();
  const rate = createFrameRate(limits.socketFrames);
  let isKnown = false;
  let frames = 0;
  let charged = 0;
  let completed = 0;
  let rateTimer: NodeJS.Timeout | undefined;
  let deadline: NodeJS.Timeout | undefined;

  function charge(bytes: number): void {
    bodies.held += bytes - charged;
    charged = bytes;
  }

  function count(): void {
    const waitMs = rate.take(Date.now(), frames);
    if (waitMs === 0) return;
    gate.shut('rate');
    clearTimeout(rateTimer);
    rateTimer = setTimeout(() => gate.open('rate'), waitMs);
  }

  function watchTime(): void {
    if (scanner.completed > completed) {
      // What is unfinished now began after it: the next message has a time of its own.
      completed = scanner.completed;
      clearTimeout(deadline);
      deadline = undefined;
    }
    if (!scanner.isUnfinished) return;
    deadline ??= setTimeout(() => {
      // We did not read: the rest may lie there.
      if (gate.isShut) deadline?.refresh();
      else options.onUnfinished();
    }, limits.requestTimeoutMs);
  }

  function before(bytes: Buffer): void {
    frames = scanner.scan(bytes);
    charge(scanner.held);
  }

  function after(): void {
    if (socket.readyState !== socket.OPEN) return;
    count();
    watchTime();
    if (!isKnown && scanner.announced > maxKeyFrame) options.onStranger();
    else if (scanner.held > smallMessage && bodies.held > limits.requestBodiesBytes) {
      options.onBusy();
    }
  }

  function stop(): void {
    raw.off('data', before);
    raw.off('data', after);
    clearTimeout(rateTimer);
    clearTimeout(deadline);
    charge(0);
  }

  // Around ws' own listener: a message that is complete is not charged here any more when it is told.
  raw.prependListener('data', before);
  raw.on('data', after);
  gate.onOpen(() => deadline?.refresh());
  socket.on('error', stop);
  socket.on('close', stop);

  return {
    admit() {
      isKnown = true;
    },
  };
}
