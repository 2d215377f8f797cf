/** The queue at one moment: milliseconds, jobs taken so far by the whole fleet, jobs that wait. */
export type Sample = { at: number; taken: number; waiting: number };

/** The rate at which the fleet takes jobs while others wait: what it can carry. */
export type ServiceRate = {
  note(sample: Sample): void;
  /** Per second; undefined until there was enough to judge by. */
  readonly perSecond: number | undefined;
};

/** Milliseconds of waiting that are judged: the newest ones, however long ago. */
const windowMs = 15_000;
/** Jobs below which chance has too much of a say. */
const fewest = 10;

/**
 * Only times count in which jobs waited from their start to their end: when none wait, the rate is that
 * of who asks. A burst that falls on free places is no measure either, so the time before the first job
 * that had to wait was taken is left out.
 */
export function createServiceRate(): ServiceRate {
  let last: Sample | undefined;
  let spans: { ms: number; taken: number }[] = [];
  let ms = 0;
  let taken = 0;

  function add(span: { ms: number; taken: number }): void {
    if (spans.length === 0 && span.taken === 0) return;
    spans.push(span);
    ms += span.ms;
    taken += span.taken;
    let oldest = spans[0];
    while (oldest && ms - oldest.ms >= windowMs && taken - oldest.taken >= fewest) {
      spans = spans.slice(1);
      ms -= oldest.ms;
      taken -= oldest.taken;
      oldest = spans[0];
    }
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
  };
}
