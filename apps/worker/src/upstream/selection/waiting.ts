import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { TargetWaiter, TargetWaiterOptions, WaitOutcome, Want } from './waiter.ts';
import { noTarget, tooLate } from './no-target.ts';
import type { Check, WaitLimits } from './port.ts';
import { paceMs, planWake } from './wake.ts';

export type WaitingOptions = {
  /** Requests that may wait at a time; those with a reader in mid-answer come on top. */
  limit: number;
  /** Who says how many of a model may wait for room. */
  waitLimits: WaitLimits;
  now(): number;
  /** Returns what takes it back. */
  setTimer(act: () => void, ms: number): () => void;
  /** Whether a target may be asked now. Where lots are drawn, one is, unless it is `won`. */
  may(model: string, target: Target, lot?: 'admitted'): Check;
  /** The provider's limit that keeps a target from being asked; undefined where none does. */
  limitOf(target: Target): Fault | undefined;
  /** Until when a lot counts, in milliseconds since the epoch; undefined where none are drawn. */
  sampleUntil(model: string, target: Target): number | undefined;
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
type TargetQueue = { entries: Entry[]; step: number; lookAt: number; cancel(): void };

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
  const { limit, waitLimits, now, setTimer, may, limitOf, sampleUntil } = options;
  const queues = new Map<string, TargetQueue>();
  let tickets = 0;
  let waiting = 0;
  /** Taken by those that wait, or were woken and may come back. */
  let parked = 0;

  function look(model: string): void {
    const queue = queues.get(model);
    if (!queue) return;
    queue.cancel();
    const at = now();
    const { entries, step } = queue;
    const known = new Map<string, Check>();
    const opensAt = (entry: Entry) => opensFor(model, entry, at, known);
    const plan = planWake(entries, { opensAt, step, now: at });
    queue.step = plan.step;
    queue.lookAt = Infinity;
    for (const entry of plan.wake) entry.end({ kind: 'retry', open: entry.open });
    if (entries.length > 0) lookAgain(model, queue, plan.lookAt);
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
    const countsUntil = sampleUntil(model, target);
    const check = (countsUntil === undefined ? known.get(key) : undefined) ?? may(model, target);
    if (countsUntil === undefined) known.set(key, check);
    if (check.kind === 'yes') return at;
    // It has drawn its lot: not another one before the share of those that may has grown.
    if (countsUntil !== undefined) want.notBefore = countsUntil;
    return check.until > at ? check.until : at + paceMs;
  }

  function lookAgain(model: string, queue: TargetQueue, at: number): void {
    if (at >= queue.lookAt) return;
    queue.cancel();
    queue.lookAt = at;
    queue.cancel = setTimer(() => look(model), at - now());
  }

  function enqueue(model: string, entry: Entry, came: 'new' | 'refused' | 'useless'): void {
    const known = queues.get(model);
    const queue = known ?? { entries: [], step: 1, lookAt: Infinity, cancel() {} };
    const behind = queue.entries.findIndex((other) => isBefore(entry, other));
    queue.entries.splice(behind === -1 ? queue.entries.length : behind, 0, entry);
    queues.set(model, queue);
    waiting += 1;
    // One that was woken and did not get through: the others need not try at once.
    if (came === 'refused') queue.step = 1;
    // A step has its pace, whoever comes; only the first of a line may find that it need not wait.
    if (!known && came === 'new') look(model);
    else lookAgain(model, queue, Math.max(entry.aside, now() + paceMs));
  }

  function dequeue(model: string, entry: Entry): void {
    const queue = queues.get(model);
    const at = queue?.entries.indexOf(entry) ?? -1;
    if (!queue || at === -1) return;
    queue.entries.splice(at, 1);
    waiting -= 1;
    if (queue.entries.length > 0) return;
    queue.cancel();
    queues.delete(model);
  }

  function unavailable(model: string, wants: readonly Want[], notBefore: number): Fault {
    const closed = wants.map(({ target }) => {
      const check = may(model, target, 'admitted');
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

  function open(
    model: string,
    { signal, maxWaitMs, deadlineAt = Infinity }: TargetWaiterOptions,
  ): TargetWaiter {
    const ticket = ++tickets;
    let patienceMs = maxWaitMs;
    let wasWoken = false;
    /** Since when it has a seat. */
    let satAt: number | undefined;

    function park(): void {
      if (satAt !== undefined) return;
      satAt = now();
      parked += 1;
      waitLimits.waitStarted(model);
    }

    function unpark(how: 'through' | 'gave_up' | 'gone'): void {
      if (satAt === undefined) return;
      const since = satAt;
      satAt = undefined;
      parked -= 1;
      waitLimits.waitEnded(model, since, how);
    }

    /** For how long it lets others go first that had asked nobody since it was woken. */
    function uselessMs(wants: readonly Want[], at: number): number {
      const isOpen = ({ target, notBefore }: Want) =>
        notBefore <= at && may(model, target, 'admitted').kind === 'yes';
      return wants.some(isOpen) ? uselessAsideMs : 0;
    }

    return {
      isBehind(target) {
        const at = now();
        const wantsIt = (want: Want) => want.notBefore <= at && isSame(want.target, target);
        const goesFirst = (entry: Entry) =>
          (entry.urgent || entry.ticket < ticket) && entry.aside <= at;
        return (
          queues.get(model)?.entries.some((one) => goesFirst(one) && one.wants.some(wantsIt)) ??
          false
        );
      },
      admitted: () => unpark('through'),
      abandon: () => unpark('gone'),
      wait({
        wants: wanted,
        urgent = false,
        retryAfterMs = 0,
        hasAsked: hasTried = true,
        ...request
      }) {
        const { isFresh = false, isDetached = false } = request;
        const since = now();
        const refuse = (outcome: WaitOutcome): Promise<WaitOutcome> => {
          unpark('gave_up');
          return Promise.resolve(outcome);
        };
        /** Its end where it may wait no longer. */
        const reject = (wants: readonly Want[], goesBack: boolean): WaitOutcome => {
          if (!goesBack || urgent || !waitLimits.isLimited(model)) {
            return { kind: 'fault', fault: unavailable(model, wants, since + retryAfterMs) };
          }
          waitLimits.coolDown(model);
          return { kind: 'not_yet' };
        };
        if (signal.aborted) {
          unpark('gone');
          return Promise.resolve({ kind: 'aborted' });
        }
        if (deadlineAt <= since) return refuse({ kind: 'fault', fault: tooLate });
        if (patienceMs <= 0) return refuse(reject(wanted, isDetached));
        const isNew = !urgent && satAt === undefined;
        if (isNew && isFresh && waitLimits.isFull(model)) return refuse({ kind: 'not_yet' });
        if (isNew && parked >= limit) return refuse(reject(wanted, isFresh || isDetached));
        if (!urgent) park();
        // Whoever comes has drawn its lots, or was not yet to draw.
        const wants = wanted.map(({ target, notBefore }) => ({
          target,
          notBefore: Math.max(notBefore, sampleUntil(model, target) ?? 0),
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
              dequeue(model, entry);
              cancelEnd();
              signal.removeEventListener('abort', onAbort);
              patienceMs -= now() - since;
              wasWoken = outcome.kind === 'retry';
              if (!wasWoken) unpark(outcome.kind === 'aborted' ? 'gone' : 'gave_up');
              resolve(outcome);
            },
          };
          const onAbort = (): void => entry.end({ kind: 'aborted' });
          const isDeadline = deadlineAt < since + patienceMs;
          const cancelEnd = setTimer(
            () => {
              if (isDeadline) entry.end({ kind: 'fault', fault: tooLate });
              else entry.end(reject(wants, isDetached));
            },
            isDeadline ? deadlineAt - since : patienceMs,
          );
          signal.addEventListener('abort', onAbort, { once: true });
          const back = isUseless ? 'useless' : 'refused';
          enqueue(model, entry, wasWoken ? back : 'new');
        });
      },
    };
  }

  return {
    open,
    /** A target may have become available. */
    wake(): void {
      // A line that is in the middle of its steps goes on at its pace.
      for (const [model, queue] of queues) {
        for (const entry of queue.entries) entry.aside = 0;
        if (queue.step === 1) look(model);
      }
    },
    count: (model?: string): number =>
      model === undefined ? waiting : (queues.get(model)?.entries.length ?? 0),
  };
}

/** First those with a reader in mid-answer, then first come first. */
const isBefore = (one: Entry, other: Entry): boolean =>
  one.urgent === other.urgent ? one.ticket < other.ticket : one.urgent;

const isSame = (one: Target, other: Target): boolean =>
  one.provider === other.provider && one.model === other.model;
