export type Pacer = {
  /** Schedules an ordinary message for a change. */
  soon(): void;
  /** Schedules a message in the next turn of the event loop. */
  atOnce(): void;
  /** Schedules an urgent message with a shorter gap: a failure may be one of thousands. */
  urgent(): void;
  close(): void;
};

export type PacerOptions = {
  send(): void;
  /** The number of workers that read the messages. */
  readers(): number;
};

/** Milliseconds between two ordinary messages: at least `gapMs`, and `gapPerReaderMs` for each reader. */
const gapMs = 50;
const gapPerReaderMs = 5;
/** Milliseconds between two urgent ones, for each reader. */
const urgentGapPerReaderMs = 1;

/**
 * Decides when changes are sent. The larger the fleet, the rarer each worker's messages: their total grows
 * with the square of the fleet, and this limits it to 200 messages a second at each worker.
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
