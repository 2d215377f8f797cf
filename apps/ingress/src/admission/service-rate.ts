/** A reading of the queue: time in milliseconds, jobs that the fleet has taken so far, jobs that wait. */
export type Sample = { at: number; taken: number; waiting: number };

/** The rate at which the fleet takes jobs while others wait: its capacity. */
export type ServiceRate = {
  note(sample: Sample): void;
  /** Per second; undefined until there are enough samples. */
  readonly perSecond: number | undefined;
  /** Stored spans. */
  readonly size: number;
};

/** Milliseconds of waiting time that count: the newest, however long ago. */
const windowMs = 15_000;
/** Fewer jobs than this are too small a sample. */
const fewest = 10;

type Span = { ms: number; taken: number };

/**
 * Only spans during which jobs waited throughout count: while none wait, the rate is that of arrivals. A
 * burst into free slots says nothing about capacity either, so the time until the first waiting job is
 * taken is left out.
 */
export function createServiceRate(): ServiceRate {
  let last: Sample | undefined;
  /** A time without taken jobs is one span, however long: there may be no workers for days. */
  const spans: Span[] = [];
  let ms = 0;
  let taken = 0;

  function add(span: Span): void {
    const newest = spans.at(-1);
    if (!newest && span.taken === 0) return;
    if (newest && newest.taken + span.taken === 0) newest.ms += span.ms;
    else spans.push({ ...span });
    ms += span.ms;
    taken += span.taken;
    while (forgetOldest());
  }

  /** Drops the part of the oldest span that is outside the window; true if the whole span went. */
  function forgetOldest(): boolean {
    const [oldest] = spans;
    const spare = ms - windowMs;
    if (!oldest || spare <= 0 || taken - oldest.taken < fewest) return false;
    // A span without taken jobs can be cut anywhere.
    if (oldest.taken > 0 && oldest.ms > spare) return false;
    const gone = Math.min(oldest.ms, spare);
    oldest.ms -= gone;
    ms -= gone;
    if (oldest.ms > 0) return false;
    taken -= oldest.taken;
    spans.shift();
    return true;
  }

  return {
    note(sample) {
      // A lower count means that Redis lost the counter.
      if (last && last.waiting > 0 && sample.waiting > 0 && sample.taken >= last.taken) {
        if (sample.at > last.at) add({ ms: sample.at - last.at, taken: sample.taken - last.taken });
      }
      last = sample;
    },
    get perSecond() {
      return taken >= fewest && ms > 0 ? (taken * 1000) / ms : undefined;
    },
    get size() {
      return spans.length;
    },
  };
}
