import type { DeathCause, WorkerSign } from './port.ts';

export type Failure = {
  name: string;
  cause: DeathCause;
  /** Milliseconds for which it has looked like that; a lower bound. */
  sinceMs: number;
};

/**
 * Who looks dead, by everything that was seen so far. Pure: the same looks give the same verdicts.
 *
 * A false alarm costs a second upstream call, and some readers an error, so the evidence has to be
 * fresh: time in which the reaper itself did not look though it should counts as one look at most.
 */
export type FailureDetector = {
  failures(signs: readonly WorkerSign[], gap: ViewInterval, exempt?: Exemptions): Failure[];
  /** Nothing that was seen so far proves anything: the connection was lost, or Redis started again. */
  reset(): void;
  /** Starts anew with this worker. */
  forget(name: string): void;
};

/** The time since the look before: as planned, and as it became. Milliseconds. */
export type ViewInterval = { plannedMs: number; elapsedMs: number };

/** A look that comes so much later than planned is stale: by itself it starts no alarm. */
export const staleAfterMs = 90;
/** No beat for so long, and the loop stands still: six beats. */
export const hungMs = 1500;
/** As much longer when most workers look dead at once: rather it is the reaper that sees badly. */
export const majorityMs = 500;
/**
 * Patience with one that was not seen alive since the doubt began. After a restart of Redis everybody
 * comes back by himself, up to the second that `retryDelayMs` waits at most.
 */
export const unprovenMs = 3000;

/** About whom nothing is asked, though what is seen of them counts from now on. */
export type Exemptions = {
  /** Workers that are being buried. */
  handled: ReadonlySet<string>;
  /** Workers whose absence was looked into: they only lost their subscription, and may still hang. */
  exonerated: ReadonlySet<string>;
};

type WorkerRecord = {
  beat: string;
  /** It listened, and a beat was seen to change, since the doubt began. */
  listened: boolean;
  beaten: boolean;
  absentMs: number;
  absentViews: number;
  silentMs: number;
};

export function createFailureDetector(): FailureDetector {
  const records = new Map<string, WorkerRecord>();

  function update(sign: WorkerSign, creditMs: number): WorkerRecord {
    const record = records.get(sign.name) ?? newRecord(sign.beat);
    records.set(sign.name, record);
    if (sign.listening) {
      record.listened = true;
      record.absentMs = 0;
      record.absentViews = 0;
    } else {
      record.absentViews += 1;
      if (record.absentViews > 1) record.absentMs += creditMs;
    }
    if (sign.beat === record.beat) record.silentMs += creditMs;
    else {
      record.beat = sign.beat;
      record.beaten = true;
      record.silentMs = 0;
    }
    return record;
  }

  return {
    failures(signs, { plannedMs, elapsedMs }, exempt = noExemptions) {
      const isLate = elapsedMs > plannedMs + staleAfterMs;
      const creditMs = Math.min(elapsedMs, plannedMs + staleAfterMs);
      const names = new Set(signs.map(({ name }) => name));
      for (const name of records.keys()) if (!names.has(name)) records.delete(name);
      const current = signs
        .map((sign) => ({ name: sign.name, record: update(sign, creditMs) }))
        .filter(({ name }) => !exempt.handled.has(name));
      const suspects = current.filter(({ name }) => !exempt.exonerated.has(name));

      const isMajority = (count: number, of = current.length) => count * 2 > of;
      const absent = suspects.filter(({ record }) => record.absentViews > 0);
      const silent = current.filter(({ record }) => record.silentMs >= hungMs);
      const goneAfterMs = isMajority(absent.length, suspects.length) ? majorityMs : 0;
      const hungAfterMs = isMajority(silent.length) ? hungMs + majorityMs : hungMs;

      return current.flatMap(({ name, record }): Failure[] => {
        const { absentViews, absentMs, silentMs } = record;
        const views = isLate ? 2 : 1;
        const isAbsent = absentViews >= views && !exempt.exonerated.has(name);
        const isGone = absentMs >= (record.listened ? goneAfterMs : unprovenMs);
        if (isAbsent && isGone) return [{ name, cause: 'gone', sinceMs: absentMs }];
        // One that does not listen either is rather gone, and that is seen sooner or told apart first.
        const silenceLimitMs =
          (record.beaten ? hungAfterMs : unprovenMs) + (absentViews > 0 ? majorityMs : 0);
        const isHung = silentMs >= silenceLimitMs;
        return isHung ? [{ name, cause: 'hung', sinceMs: silentMs }] : [];
      });
    },
    reset: () => records.clear(),
    forget: (name) => records.delete(name),
  };
}

const noExemptions: Exemptions = { handled: new Set(), exonerated: new Set() };

const newRecord = (beat: string): WorkerRecord => ({
  beat,
  listened: false,
  beaten: false,
  absentMs: 0,
  absentViews: 0,
  silentMs: 0,
});
