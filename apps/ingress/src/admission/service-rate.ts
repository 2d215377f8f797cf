/** The queue at one moment: milliseconds, jobs taken so far by the whole fleet, jobs that wait. */
export type Sample = { at: number; taken: number; waiting: number };

/** The rate at which the fleet takes jobs while others wait: what it can carry. */
export type ServiceRate = {
  note(sample: Sample): void;
  /** Per second; undefined until there was enough to judge by. */
  readonly perSecond: number | undefined;
  /** Stretches of time that are remembered. */
  readonly size: number;
};

/** Milliseconds of waiting that are judged: the newest ones, however long ago. */
const windowMs = 15_000;
/** Jobs below which chance has too much of a say. */
const fewest = 10;

type Span = { ms: number; taken: number };

/**
 * Only times count in which jobs waited from their start to their end: when none wait, the rate is that
 * of who asks. A burst that falls on free places is no measure either, so the time before the first job
 * that had to wait was taken is left out.
 */
export function createServiceRate(): ServiceRate {
  let last: Sample | undefined;
  /** A silence is one of them, however long: workers may be away for days. */
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

  /** As much of the oldest one as is not needed; whether all of it went. */
  function forgetOldest(): boolean {
    const [oldest] = spans;
    const spare = ms - windowMs;
    if (!oldest || spare <= 0 || taken - oldest.taken < fewest) return false;
    // Of a silence any part can go.
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
      // A counter that went back has started again.
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
