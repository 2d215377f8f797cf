import type { Backpressure } from '../../delivery/backpressure.ts';
import type { BodyBudget } from '../../server/limits.ts';
import type { Frame } from './frames.ts';

/** Frames of one socket that are served concurrently; their bytes are bounded by `limits.socketFrame`. */
export const maxServed = 100;

/** A message as ws emits it. */
export type Message = { data: Buffer; isBinary: boolean };

export type MessageQueue = {
  /** Serves a message. Messages about one request are served in order, also while one of them waits for Redis. */
  take(message: Message): void;
  stop(): void;
  /** Frames that are being served, or wait for an earlier one about the same request. */
  readonly served: number;
};

export type MessageQueueOptions = {
  backpressure: Backpressure;
  limits: { socketFrameBytes: number };
  /** The budget that the bytes of messages count against until they are served. */
  bodies: BodyBudget;
  /** Undefined if the message is no frame and was rejected. */
  read(message: Message): Frame | undefined;
  /** Never rejects. */
  serve(frame: Frame, data: Buffer): Promise<void>;
  /** No frame is being served any more. */
  onIdle(): void;
};

/**
 * Bounds the frames that are served concurrently for one socket: at the bound the socket is paused. Messages
 * that were read already, from the same chunk, wait here until it resumes.
 */
export function createMessageQueue(options: MessageQueueOptions): MessageQueue {
  const { backpressure, limits, bodies, read, serve, onIdle } = options;
  /** The newest frame about each request, while it is served. */
  const newest = new Map<unknown, Promise<void>>();
  let queue: Message[] = [];
  /** The index of the first message that waits. */
  let first = 0;
  let served = 0;
  let bytes = 0;
  let stopped = false;

  const isBusy = () => served >= maxServed || bytes >= limits.socketFrameBytes;

  async function serveInOrder(before: Promise<void> | undefined, frame: Frame, data: Buffer) {
    served += 1;
    bytes += data.length;
    if (isBusy()) backpressure.pause('busy');
    if (before) await before;
    await serve(frame, data);
    served -= 1;
    bytes -= data.length;
    bodies.held -= data.length;
    if (!isBusy()) backpressure.resume('busy');
    if (served === 0) onIdle();
  }

  function begin(message: Message): void {
    const { data } = message;
    const frame = read(message);
    if (!frame) {
      bodies.held -= data.length;
      return;
    }
    const { id } = frame;
    const serving = serveInOrder(newest.get(id), frame, data);
    if (id === undefined) return;
    newest.set(id, serving);
    void serving.finally(() => newest.get(id) === serving && newest.delete(id));
  }

  function serveQueued(): void {
    for (let next = queue[first]; next && !backpressure.isPaused; next = queue[first]) {
      first += 1;
      begin(next);
    }
    if (first < queue.length) return;
    queue = [];
    first = 0;
  }

  backpressure.onResume(serveQueued);

  return {
    take(message) {
      if (stopped) return;
      bodies.held += message.data.length;
      if (backpressure.isPaused) queue.push(message);
      else begin(message);
    },
    stop() {
      stopped = true;
      for (const { data } of queue.slice(first)) bodies.held -= data.length;
      queue = [];
      first = 0;
    },
    get served() {
      return served;
    },
  };
}
