import type { DeathCause, WorkerSign } from './port.ts';

export type Failure = {
  name: string;
  cause: DeathCause;
  /** Milliseconds for which the worker has looked dead; a lower bound. */
  sinceMs: number;
};

/**
 * Decides which workers look dead, from all views so far. Deterministic: the same views give the same failures.
 *
 * A false alarm costs a second upstream call, and some readers an error, so the evidence has to be fresh: time in which
 * the reaper was late counts as one view at most.
 */
export type FailureDetector = {
  failures(signs: readonly WorkerSign[], gap: ViewInterval, exempt?: Exemptions): Failure[];
  /** Forgets all views so far: the connection was lost, or Redis started again. */
  reset(): void;
  /** Starts a new record of this worker. */
  forget(name: string): void;
};

/** The planned and the actual time since the view before. Milliseconds. */
export type ViewInterval = { plannedMs: number; elapsedMs: number };

/** Milliseconds. A view that is later than planned by this much does not suffice for a failure. */
export const staleAfterMs = 90;
/** Milliseconds without a beat after which a worker counts as hung: six beats. */
export const hungMs = 1500;
/** Milliseconds to wait longer if most workers look dead at once: more likely the reaper itself is late. */
export const majorityMs = 500;
/**
 * Milliseconds for a worker that was not seen alive since the last reset. After a restart of Redis every worker
 * reconnects by itself, within the second that `retryDelayMs` waits at most.
 */
export const unprovenMs = 3000;

/** Workers for which no failure is reported; the detector still records what it sees of them. */
export type Exemptions = {
  /** Workers whose failure the reaper is handling. */
  handled: ReadonlySet<string>;
  /** Workers that only lost their subscription; they may still hang. */
  exonerated: ReadonlySet<string>;
};

type WorkerRecord = {
  beat: string;
  /** Since the last reset the worker listened, and its beat changed. */
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
        // A worker that does not listen either has more likely died, which is confirmed or ruled out sooner.
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
