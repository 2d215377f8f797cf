import type { ReadingGate } from '../relay/reading-gate.ts';
import { createFrameRate } from './frame-rate.ts';
import type { Frame } from './socket-frames.ts';

/** Frames of one socket that wait for Redis, at most; as many bytes as one frame may have. */
export const maxServed = 100;

export type FrameTurns = {
  /** Serves a frame: those about one request in their order, also when one of them waits for Redis. */
  take(frame: Frame, text: string): void;
  /** A frame of any kind came. */
  count(): void;
  stop(): void;
  /** Frames that are being served, or wait for their turn. */
  readonly served: number;
};

/** What is served at a time for one socket is bounded: then nothing more is read from it. */
export function createFrameTurns({
  gate,
  limits,
  serve,
}: {
  gate: ReadingGate;
  limits: { socketFrames: number; socketFrameBytes: number };
  /** Never rejects. */
  serve(frame: Frame, text: string): Promise<void>;
}): FrameTurns {
  const rate = createFrameRate(limits.socketFrames);
  let rateTimer: NodeJS.Timeout | undefined;
  /** The newest frame about each request. */
  const turns = new Map<unknown, Promise<void>>();
  let served = 0;
  let chars = 0;

  async function inTurn(before: Promise<void> | undefined, frame: Frame, text: string) {
    served += 1;
    chars += text.length;
    if (served >= maxServed || chars >= limits.socketFrameBytes) gate.shut('busy');
    if (before) await before;
    await serve(frame, text);
    served -= 1;
    chars -= text.length;
    if (served < maxServed && chars < limits.socketFrameBytes) gate.open('busy');
  }

  function slowDown(forMs: number): void {
    gate.shut('rate');
    clearTimeout(rateTimer);
    rateTimer = setTimeout(() => gate.open('rate'), forMs);
  }

  return {
    take(frame, text) {
      const { id } = frame;
      const turn = inTurn(turns.get(id), frame, text);
      if (id === undefined) return;
      turns.set(id, turn);
      void turn.finally(() => turns.get(id) === turn && turns.delete(id));
    },
    count() {
      const waitMs = rate.take(Date.now());
      if (waitMs > 0) slowDown(waitMs);
    },
    stop: () => clearTimeout(rateTimer),
    get served() {
      return served;
    },
  };
}
