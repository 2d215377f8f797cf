import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { Place, PlaceOptions, WaitOutcome, Want } from './place.ts';
import { noTarget, tooLate } from './no-target.ts';
import type { Check, LineWatch } from './port.ts';
import { paceMs, planWake } from './wake.ts';

export type WaitingOptions = {
  /** Requests that may wait at a time; those with a reader in mid-answer come on top. */
  limit: number;
  /** Who says how many of a model may wait for room. */
  lines: LineWatch;
  now(): number;
  /** Returns what takes it back. */
  setTimer(act: () => void, ms: number): () => void;
  /** Whether a target may be asked now. Where lots are drawn, one is, unless it is `won`. */
  may(model: string, target: Target, lot?: 'won'): Check;
  /** The provider's limit that keeps a target from being asked; undefined where none does. */
  limitOf(target: Target): Fault | undefined;
  /** Until when a lot counts, in milliseconds since the epoch; undefined where none are drawn. */
  lotUntil(model: string, target: Target): number | undefined;
};

type Entry = {
  ticket: number;
  urgent: boolean;
  wants: Want[];
  /** Until then it lets others go first; milliseconds since the epoch. */
  aside: number;
  /** What it was found to be able to ask when it was looked at last. */
  open: Target[];
  end(outcome: WaitOutcome): void;
};
type Line = { entries: Entry[]; step: number; lookAt: number; cancel(): void };

/**
 * Milliseconds for which a request that one target found too large lets the others of its line go
 * first. Not as long as that target said: another one may take it sooner.
 */
const longestAsideMs = 5000;
/** Milliseconds for which one stands aside that had no use for what was open. */
const uselessAsideMs = 1000;
/** Milliseconds of the shortest `Retry-After` that a client is told. */
const shortestRetryMs = 1000;

/** Where requests wait while every target that would do for them is broken or at its limit. */
export function createWaiting(options: WaitingOptions) {
  const { limit, lines: watch, now, setTimer, may, limitOf, lotUntil } = options;
  const lines = new Map<string, Line>();
  let tickets = 0;
  let waiting = 0;
  /** Taken by those that wait, or were woken and may come back. */
  let seats = 0;

  function look(model: string): void {
    const line = lines.get(model);
    if (!line) return;
    line.cancel();
    const at = now();
    const { entries, step } = line;
    const known = new Map<string, Check>();
    const opensAt = (entry: Entry) => opensFor(model, entry, at, known);
    const plan = planWake(entries, { opensAt, step, now: at });
    line.step = plan.step;
    line.lookAt = Infinity;
    for (const entry of plan.wake) entry.end({ kind: 'retry', open: entry.open });
    if (entries.length > 0) lookAgain(model, line, plan.lookAt);
  }

  /** When an entry may go. `known`: what is the same for all of them. */
  function opensFor(
    model: string,
    entry: Entry,
    at: number,
    known: Map<string, Check>,
  ): number | undefined {
    entry.open = [];
    if (entry.aside > at) return entry.aside;
    let soonest: number | undefined;
    for (const want of entry.wants) {
      const opens = want.notBefore > at ? want.notBefore : opensTo(model, want, at, known);
      if (opens <= at) entry.open.push(want.target);
      soonest = Math.min(soonest ?? Infinity, opens);
    }
    return soonest;
  }

  function opensTo(model: string, want: Want, at: number, known: Map<string, Check>): number {
    const { target } = want;
    const key = targetKey(target);
    const lot = lotUntil(model, target);
    const check = (lot === undefined ? known.get(key) : undefined) ?? may(model, target);
    if (lot === undefined) known.set(key, check);
    if (check.kind === 'yes') return at;
    // It has drawn its lot: not another one before the share of those that may has grown.
    if (lot !== undefined) want.notBefore = lot;
    return check.until > at ? check.until : at + paceMs;
  }

  function lookAgain(model: string, line: Line, at: number): void {
    if (at >= line.lookAt) return;
    line.cancel();
    line.lookAt = at;
    line.cancel = setTimer(() => look(model), at - now());
  }

  function enter(model: string, entry: Entry, came: 'new' | 'refused' | 'useless'): void {
    const known = lines.get(model);
    const line = known ?? { entries: [], step: 1, lookAt: Infinity, cancel() {} };
    const behind = line.entries.findIndex((other) => isBefore(entry, other));
    line.entries.splice(behind === -1 ? line.entries.length : behind, 0, entry);
    lines.set(model, line);
    waiting += 1;
    // One that was woken and did not get through: the others need not try at once.
    if (came === 'refused') line.step = 1;
    // A step has its pace, whoever comes; only the first of a line may find that it need not wait.
    if (!known && came === 'new') look(model);
    else lookAgain(model, line, Math.max(entry.aside, now() + paceMs));
  }

  function leave(model: string, entry: Entry): void {
    const line = lines.get(model);
    const at = line?.entries.indexOf(entry) ?? -1;
    if (!line || at === -1) return;
    line.entries.splice(at, 1);
    waiting -= 1;
    if (line.entries.length > 0) return;
    line.cancel();
    lines.delete(model);
  }

  function unavailable(model: string, wants: readonly Want[], notBefore: number): Fault {
    const closed = wants.map(({ target }) => {
      const check = may(model, target, 'won');
      const isLimited = check.kind === 'no' && check.why === 'limited';
      return {
        until: check.kind === 'yes' ? 0 : check.until,
        limit: isLimited ? limitOf(target) : undefined,
      };
    });
    const first = closed.toSorted((one, other) => one.until - other.until)[0];
    const opens = Math.max(first?.until ?? 0, notBefore) - now();
    const retryAfterMs = Math.max(shortestRetryMs, Math.ceil(opens));
    // The provider's limit is the reason only where no target is broken, or full by a limit of our own.
    const isLimit = closed.every(({ limit }) => limit !== undefined);
    return { ...((isLimit && first?.limit) || noTarget), retryAfterMs };
  }

  function open(model: string, { signal, maxWaitMs, deadlineAt = Infinity }: PlaceOptions): Place {
    const ticket = ++tickets;
    let patienceMs = maxWaitMs;
    let wasWoken = false;
    /** Since when it has a seat. */
    let satAt: number | undefined;

    function sit(): void {
      if (satAt !== undefined) return;
      satAt = now();
      seats += 1;
      watch.sat(model);
    }

    function rise(how: 'through' | 'gave_up' | 'gone'): void {
      if (satAt === undefined) return;
      const since = satAt;
      satAt = undefined;
      seats -= 1;
      watch.left(model, since, how);
    }

    /** For how long it lets others go first that had asked nobody since it was woken. */
    function uselessMs(wants: readonly Want[], at: number): number {
      const isOpen = ({ target, notBefore }: Want) =>
        notBefore <= at && may(model, target, 'won').kind === 'yes';
      return wants.some(isOpen) ? uselessAsideMs : 0;
    }

    return {
      isBehind(target) {
        const at = now();
        const wantsIt = (want: Want) => want.notBefore <= at && isSame(want.target, target);
        const goesFirst = (entry: Entry) =>
          (entry.urgent || entry.ticket < ticket) && entry.aside <= at;
        return (
          lines.get(model)?.entries.some((one) => goesFirst(one) && one.wants.some(wantsIt)) ??
          false
        );
      },
      pass: () => rise('through'),
      leave: () => rise('gone'),
      wait({ wants: wanted, urgent = false, retryAfterMs = 0, hasTried = true, ...request }) {
        const { isFresh = false, isDetached = false } = request;
        const since = now();
        const refuse = (outcome: WaitOutcome): Promise<WaitOutcome> => {
          rise('gave_up');
          return Promise.resolve(outcome);
        };
        /** Its end where it may wait no longer. */
        const turnAway = (wants: readonly Want[], goesBack: boolean): WaitOutcome => {
          if (!goesBack || urgent || !watch.isLimited(model)) {
            return { kind: 'fault', fault: unavailable(model, wants, since + retryAfterMs) };
          }
          watch.rest(model);
          return { kind: 'not_yet' };
        };
        if (signal.aborted) {
          rise('gone');
          return Promise.resolve({ kind: 'aborted' });
        }
        if (deadlineAt <= since) return refuse({ kind: 'fault', fault: tooLate });
        if (patienceMs <= 0) return refuse(turnAway(wanted, isDetached));
        const isNew = !urgent && satAt === undefined;
        if (isNew && isFresh && watch.isFull(model)) return refuse({ kind: 'not_yet' });
        if (isNew && seats >= limit) return refuse(turnAway(wanted, isFresh || isDetached));
        if (!urgent) sit();
        // Whoever comes has drawn its lots, or was not yet to draw.
        const wants = wanted.map(({ target, notBefore }) => ({
          target,
          notBefore: Math.max(notBefore, lotUntil(model, target) ?? 0),
        }));
        const isUseless = wasWoken && !hasTried;
        const asideMs = isUseless
          ? uselessMs(wants, since)
          : Math.min(longestAsideMs, retryAfterMs);
        return new Promise((resolve) => {
          const entry: Entry = {
            ticket,
            urgent,
            wants,
            aside: since + asideMs,
            open: [],
            end(outcome) {
              leave(model, entry);
              cancelEnd();
              signal.removeEventListener('abort', onAbort);
              patienceMs -= now() - since;
              wasWoken = outcome.kind === 'retry';
              if (!wasWoken) rise(outcome.kind === 'aborted' ? 'gone' : 'gave_up');
              resolve(outcome);
            },
          };
          const onAbort = (): void => entry.end({ kind: 'aborted' });
          const isDeadline = deadlineAt < since + patienceMs;
          const cancelEnd = setTimer(
            () => {
              if (isDeadline) entry.end({ kind: 'fault', fault: tooLate });
              else entry.end(turnAway(wants, isDetached));
            },
            isDeadline ? deadlineAt - since : patienceMs,
          );
          signal.addEventListener('abort', onAbort, { once: true });
          const back = isUseless ? 'useless' : 'refused';
          enter(model, entry, wasWoken ? back : 'new');
        });
      },
    };
  }

  return {
    open,
    /** A target may have become available. */
    wake(): void {
      // A line that is in the middle of its steps goes on at its pace.
      for (const [model, line] of lines) {
        for (const entry of line.entries) entry.aside = 0;
        if (line.step === 1) look(model);
      }
    },
    count: (model?: string): number =>
      model === undefined ? waiting : (lines.get(model)?.entries.length ?? 0),
  };
}

/** First those with a reader in mid-answer, then first come first. */
const isBefore = (one: Entry, other: Entry): boolean =>
  one.urgent === other.urgent ? one.ticket < other.ticket : one.urgent;

const isSame = (one: Target, other: Target): boolean =>
  one.provider === other.provider && one.model === other.model;
