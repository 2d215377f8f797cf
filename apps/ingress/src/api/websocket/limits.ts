import type { Socket } from 'node:net';
import type { WebSocket } from '@fastify/websocket';
import type { Backpressure } from '../../delivery/backpressure.ts';
import type { BodyBudget } from '../../server/limits.ts';
import { createFrameRate } from './frame-rate.ts';
import { createFrameScanner } from './frame-scanner.ts';
import { closingMs } from './close-codes.ts';

/** Limits incoming data of a WebSocket before it is a message: size, rate and time. */
export type SocketLimits = {
  /** The client is authenticated: a message may now be as large as `limits.socketFrame`. */
  liftKeyLimit(): void;
};

export type SocketLimitsOptions = {
  socket: WebSocket;
  raw: Socket;
  backpressure: Backpressure;
  bodies: BodyBudget;
  limits: { socketFrames: number; requestBodiesBytes: number; requestTimeoutMs: number };
  /** Before authentication, a message came that is larger than a key can be. */
  onUnauthenticated(): void;
  /** The memory for request bodies does not allow the rest of a large message. */
  onBusy(): void;
  /** A message was not complete in time. */
  onUnfinished(): void;
};

/**
 * The most fragments of one message: clients that send 4 KiB at a time need as many for a message of the
 * largest default size.
 */
const maxFragments = 4096;
/** Chunks of one frame: each of them costs more memory than its bytes. */
const maxBufferedChunks = 32 * 1024;
/** Unsent pongs after which ws closes the socket. */
const maxPendingAutoPongs = 16;

/** Options of ws. */
export const socketOptions = ({ socketFrameBytes }: { socketFrameBytes: number }) => ({
  maxPayload: socketFrameBytes,
  maxFragments,
  maxBufferedChunks,
  maxPendingAutoPongs,
  closeTimeout: closingMs,
  // No compression: its windows cost more per socket than all else, and a small frame could inflate to a huge one.
  perMessageDeflate: false,
  // No subprotocols: by default ws would accept the first one that a client names.
  handleProtocols: () => false as const,
});

/** Bytes of the message with the key: the same bound as a request's head. */
export const maxKeyFrame = 16 * 1024;

/**
 * Bytes up to which a message may arrive while the memory for bodies is used up: about one read of a
 * connection. It is rejected when it is complete, and its socket stays open.
 */
const smallMessage = 64 * 1024;

export function enforceSocketLimits(options: SocketLimitsOptions): SocketLimits {
  const { socket, raw, backpressure, bodies, limits } = options;
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
    backpressure.pause('rate');
    clearTimeout(rateTimer);
    rateTimer = setTimeout(() => backpressure.resume('rate'), waitMs);
  }

  function watchTime(): void {
    if (scanner.completed > completed) {
      // An unfinished message now is a new one, with a time limit of its own.
      completed = scanner.completed;
      clearTimeout(deadline);
      deadline = undefined;
    }
    if (!scanner.isUnfinished) return;
    deadline ??= setTimeout(() => {
      // While reading is paused, the rest may have arrived already.
      if (backpressure.isPaused) deadline?.refresh();
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
    if (!isKnown && scanner.announced > maxKeyFrame) options.onUnauthenticated();
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

  // Before and after the listener of ws, so that a complete message is not charged here when ws emits it.
  raw.prependListener('data', before);
  raw.on('data', after);
  backpressure.onResume(() => deadline?.refresh());
  socket.on('error', stop);
  socket.on('close', stop);

  return {
    liftKeyLimit() {
      isKnown = true;
    },
  };
}
