export type Pacer = {
  /** Something changed: it is sent soon. */
  soon(): void;
  /** Something changed that others must know: it is sent with the next turn of the event loop. */
  atOnce(): void;
  /** As `atOnce`, however many there were: a failure may be one of thousands. */
  urgent(): void;
  close(): void;
};

export type PacerOptions = {
  send(): void;
  /** How many workers read it. */
  readers(): number;
};

/** Milliseconds between two ordinary sends, and how much of it each reader adds. */
const gapMs = 50;
const gapPerReaderMs = 5;
/** Between two urgent ones, for each reader. */
const urgentGapPerReaderMs = 1;

/**
 * When to send what changed. The larger the fleet, the rarer: what all tell all grows with the square of
 * their number, and this keeps it to 200 texts a second for each of them.
 */
export function createPacer({ send, readers }: PacerOptions): Pacer {
  let sentAt = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  let dueAt = Infinity;
  let closed = false;

  function schedule(at: number): void {
    if (closed || at >= dueAt) return;
    dueAt = at;
    clearTimeout(timer);
    const waitMs = at - performance.now();
    timer = setTimeout(fire, Math.max(0, waitMs));
  }

  function fire(): void {
    timer = undefined;
    dueAt = Infinity;
    sentAt = performance.now();
    send();
  }

  return {
    soon: () => schedule(sentAt + Math.max(gapMs, gapPerReaderMs * readers())),
    urgent: () => schedule(sentAt + urgentGapPerReaderMs * readers()),
    atOnce: () => schedule(-Infinity),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
