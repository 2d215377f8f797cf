import type { DeathCause, Sign } from './port.ts';

export type Verdict = {
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
export type Suspicion = {
  judge(signs: readonly Sign[], gap: Gap, settled?: Settled): Verdict[];
  /** Nothing that was seen so far proves anything: the connection was lost, or Redis started again. */
  doubt(): void;
  /** Starts anew with this worker. */
  forget(name: string): void;
};

/** The time since the look before: as planned, and as it became. Milliseconds. */
export type Gap = { plannedMs: number; elapsedMs: number };

/** A look that comes so much later than planned is stale: by itself it starts no alarm. */
export const lateMs = 90;
/** No beat for so long, and the loop stands still: six beats. */
export const hungMs = 1500;
/** As much longer when most workers look dead at once: rather it is the reaper that sees badly. */
export const mostMs = 500;
/**
 * Patience with one that was not seen alive since the doubt began. After a restart of Redis everybody
 * comes back by himself, up to the second that `retryDelayMs` waits at most.
 */
export const unprovenMs = 3000;

/** About whom nothing is asked, though what is seen of them counts from now on. */
export type Settled = {
  /** Workers that are being buried. */
  busy: ReadonlySet<string>;
  /** Workers whose absence was looked into: they only lost their subscription, and may still hang. */
  excused: ReadonlySet<string>;
};

type Record = {
  beat: string;
  /** It listened, and a beat was seen to change, since the doubt began. */
  listened: boolean;
  beaten: boolean;
  absentMs: number;
  absentLooks: number;
  silentMs: number;
};

export function createSuspicion(): Suspicion {
  const records = new Map<string, Record>();

  function note(sign: Sign, creditMs: number): Record {
    const record = records.get(sign.name) ?? newRecord(sign.beat);
    records.set(sign.name, record);
    if (sign.listening) {
      record.listened = true;
      record.absentMs = 0;
      record.absentLooks = 0;
    } else {
      record.absentLooks += 1;
      if (record.absentLooks > 1) record.absentMs += creditMs;
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
    judge(signs, { plannedMs, elapsedMs }, settled = nobody) {
      const isLate = elapsedMs > plannedMs + lateMs;
      const creditMs = Math.min(elapsedMs, plannedMs + lateMs);
      const names = new Set(signs.map(({ name }) => name));
      for (const name of records.keys()) if (!names.has(name)) records.delete(name);
      const current = signs
        .map((sign) => ({ name: sign.name, record: note(sign, creditMs) }))
        .filter(({ name }) => !settled.busy.has(name));
      const unexcused = current.filter(({ name }) => !settled.excused.has(name));

      const isMost = (count: number, of = current.length) => count * 2 > of;
      const absent = unexcused.filter(({ record }) => record.absentLooks > 0);
      const silent = current.filter(({ record }) => record.silentMs >= hungMs);
      const goneAfterMs = isMost(absent.length, unexcused.length) ? mostMs : 0;
      const hungAfterMs = isMost(silent.length) ? hungMs + mostMs : hungMs;

      return current.flatMap(({ name, record }): Verdict[] => {
        const { absentLooks, absentMs, silentMs } = record;
        const looks = isLate ? 2 : 1;
        const isAbsent = absentLooks >= looks && !settled.excused.has(name);
        const isGone = absentMs >= (record.listened ? goneAfterMs : unprovenMs);
        if (isAbsent && isGone) return [{ name, cause: 'gone', sinceMs: absentMs }];
        // One that does not listen either is rather gone, and that is seen sooner or told apart first.
        const patienceMs =
          (record.beaten ? hungAfterMs : unprovenMs) + (absentLooks > 0 ? mostMs : 0);
        const isHung = silentMs >= patienceMs;
        return isHung ? [{ name, cause: 'hung', sinceMs: silentMs }] : [];
      });
    },
    doubt: () => records.clear(),
    forget: (name) => records.delete(name),
  };
}

const nobody: Settled = { busy: new Set(), excused: new Set() };

const newRecord = (beat: string): Record => ({
  beat,
  listened: false,
  beaten: false,
  absentMs: 0,
  absentLooks: 0,
  silentMs: 0,
});
