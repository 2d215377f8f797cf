import type { ReadingGate } from '../../delivery/backpressure.ts';
import type { BodyBudget } from '../../server/limits.ts';
import type { Frame } from './frames.ts';

/** Frames of one socket that wait for Redis, at most; as many bytes as one frame may have. */
export const maxServed = 100;

/** A message as ws tells of it. */
export type Message = { data: Buffer; isBinary: boolean };

export type FrameTurns = {
  /** Serves a message: those about one request in their order, also when one of them waits for Redis. */
  take(message: Message): void;
  stop(): void;
  /** Frames that are being served, or wait for their turn. */
  readonly served: number;
};

export type FrameTurnsOptions = {
  gate: ReadingGate;
  limits: { socketFrameBytes: number };
  /** Where the bytes of messages count until they are served. */
  bodies: BodyBudget;
  /** Undefined for what is no frame, and was refused. */
  read(message: Message): Frame | undefined;
  /** Never rejects. */
  serve(frame: Frame, data: Buffer): Promise<void>;
  /** None is being served any more. */
  onIdle(): void;
};

/**
 * What is served at a time for one socket is bounded: then nothing more is read from it. What had
 * been read already, one chunk of its connection, waits here until the gate is open.
 */
export function createFrameTurns(options: FrameTurnsOptions): FrameTurns {
  const { gate, limits, bodies, read, serve, onIdle } = options;
  /** The newest frame about each request. */
  const turns = new Map<unknown, Promise<void>>();
  let queue: Message[] = [];
  /** Of the queue, begun already. */
  let first = 0;
  let served = 0;
  let bytes = 0;
  let stopped = false;

  const isBusy = () => served >= maxServed || bytes >= limits.socketFrameBytes;

  async function inTurn(before: Promise<void> | undefined, frame: Frame, data: Buffer) {
    served += 1;
    bytes += data.length;
    if (isBusy()) gate.shut('busy');
    if (before) await before;
    await serve(frame, data);
    served -= 1;
    bytes -= data.length;
    bodies.held -= data.length;
    if (!isBusy()) gate.open('busy');
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
    const turn = inTurn(turns.get(id), frame, data);
    if (id === undefined) return;
    turns.set(id, turn);
    void turn.finally(() => turns.get(id) === turn && turns.delete(id));
  }

  function goOn(): void {
    for (let next = queue[first]; next && !gate.isShut; next = queue[first]) {
      first += 1;
      begin(next);
    }
    if (first < queue.length) return;
    queue = [];
    first = 0;
  }

  gate.onOpen(goOn);

  return {
    take(message) {
      if (stopped) return;
      bodies.held += message.data.length;
      if (gate.isShut) queue.push(message);
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
