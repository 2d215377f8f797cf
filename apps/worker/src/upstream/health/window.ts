export type Counts = { calls: number; errors: number };

/** The number of a target's calls and of failed ones among them: recently, and usually. */
export type Window = {
  add(calls: number, errors: number, now: number): void;
  /** Counts of the last `windowMs`, with a resolution of a second. */
  recent(now: number): Counts;
  /** Counts of the half hour before that. */
  usual(now: number): Counts;
  /** Discards the recent counts: those of an outage are not usual. */
  clear(now: number): void;
};

const secondMs = 1000;
const minuteMs = 60_000;
/** Minutes from which the usual rate is computed. */
const usualMinutes = 30;

/** `now` is milliseconds on a clock that may jump: a step back counts as no time. */
export function createWindow(windowMs: number): Window {
  const seconds = createRing(Math.max(1, Math.ceil(windowMs / secondMs)), secondMs);
  const minutes = createRing(usualMinutes, minuteMs);

  function advance(now: number): void {
    minutes.advance(now, () => {});
    seconds.advance(now, minutes.addAt);
  }

  return {
    add(calls, errors, now) {
      advance(now);
      seconds.add(calls, errors);
    },
    recent(now) {
      advance(now);
      return { ...seconds.total };
    },
    usual(now) {
      advance(now);
      return { ...minutes.total };
    },
    clear(now) {
      advance(now);
      seconds.clear();
    },
  };
}

/** The newest `size` buckets of `bucketMs` each, and their sum. */
function createRing(size: number, bucketMs: number) {
  const calls = new Float64Array(size);
  const errors = new Float64Array(size);
  const total: Counts = { calls: 0, errors: 0 };
  let newest = 0;

  function drop(bucket: number, onOld: (calls: number, errors: number, at: number) => void): void {
    const slot = bucket % size;
    const [oldCalls = 0, oldErrors = 0] = [calls[slot], errors[slot]];
    if (oldCalls === 0) return;
    total.calls -= oldCalls;
    total.errors -= oldErrors;
    calls[slot] = 0;
    errors[slot] = 0;
    onOld(oldCalls, oldErrors, bucket * bucketMs);
  }

  function put(bucket: number, moreCalls: number, moreErrors: number): void {
    const slot = bucket % size;
    calls[slot] = (calls[slot] ?? 0) + moreCalls;
    errors[slot] = (errors[slot] ?? 0) + moreErrors;
    total.calls += moreCalls;
    total.errors += moreErrors;
  }

  return {
    total,
    /** Passes buckets that have become too old to `onOld`, with their time. */
    advance(now: number, onOld: (calls: number, errors: number, at: number) => void): void {
      const bucket = Math.floor(now / bucketMs);
      if (bucket <= newest) return;
      const gone = Math.min(bucket - newest, size);
      for (let i = 1; i <= gone; i++) drop(newest - size + i, onOld);
      newest = bucket;
    },
    add: (moreCalls: number, moreErrors: number) => put(newest, moreCalls, moreErrors),
    addAt(moreCalls: number, moreErrors: number, at: number): void {
      const bucket = Math.min(Math.floor(at / bucketMs), newest);
      if (bucket > newest - size) put(bucket, moreCalls, moreErrors);
    },
    clear(): void {
      calls.fill(0);
      errors.fill(0);
      total.calls = 0;
      total.errors = 0;
    },
  };
}
