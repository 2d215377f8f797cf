import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import type { Check } from './port.ts';
import type { WaitOutcome, Want } from './waiter.ts';
import { paceMs, planWake } from './wake.ts';

export type TargetQueueOptions = {
  now(): number;
  /** Returns a function that cancels the timer. */
  setTimer(act: () => void, ms: number): () => void;
  /** Whether a target may be asked now. */
  may(target: Target): Check;
  /** Until when a sample is valid, in milliseconds since the epoch; undefined if none is drawn. */
  sampleUntil(target: Target): number | undefined;
};

/** One request while it waits. */
export type Entry = {
  ticket: number;
  /** A reader has a part of its answer. */
  urgent: boolean;
  wants: Want[];
  /** Until then it lets others go first (milliseconds since the epoch). */
  aside: number;
  /** The targets that were open to it at the last check. */
  open: Target[];
  end(outcome: WaitOutcome): void;
};

/**
 * Why a request joins the queue. `refused`: a target did not accept it; `unused`: it had no use for the
 * targets that were open.
 */
export type Arrival = 'new' | 'refused' | 'unused';

/** The requests of one model that wait for a target, in order. */
export class TargetQueue {
  readonly entries: Entry[] = [];
  private readonly options: TargetQueueOptions;
  /** The most requests that the next step wakes. */
  private step = 1;
  private nextCheckAt = Infinity;
  private cancelTimer: () => void = () => {};

  constructor(options: TargetQueueOptions) {
    this.options = options;
  }

  add(entry: Entry, arrival: Arrival): void {
    const { entries } = this;
    const isFirst = entries.length === 0;
    const behind = entries.findIndex((other) => isBefore(entry, other));
    entries.splice(behind === -1 ? entries.length : behind, 0, entry);
    // A woken request did not get through: the others need not try at once.
    if (arrival === 'refused') this.step = 1;
    // Steps keep their interval whatever arrives; only the first request of a queue may find that it need not
    // wait.
    if (isFirst && arrival === 'new') this.check();
    else this.checkAt(Math.max(entry.aside, this.options.now() + paceMs));
  }

  /** Returns whether the entry was in the queue. */
  remove(entry: Entry): boolean {
    const at = this.entries.indexOf(entry);
    if (at === -1) return false;
    this.entries.splice(at, 1);
    if (this.entries.length === 0) this.cancelTimer();
    return true;
  }

  /** A target may have become available. A queue in the middle of its steps keeps its interval. */
  wake(): void {
    for (const entry of this.entries) entry.aside = 0;
    if (this.step === 1) this.check();
  }

  /** Whether an earlier request waits for this target and could go. */
  hasBefore(ticket: number, target: Target): boolean {
    const at = this.options.now();
    const wantsIt = (want: Want) => want.notBefore <= at && isSame(want.target, target);
    const goesFirst = (entry: Entry) =>
      (entry.urgent || entry.ticket < ticket) && entry.aside <= at;
    return this.entries.some((one) => goesFirst(one) && one.wants.some(wantsIt));
  }

  private check(): void {
    this.cancelTimer();
    const at = this.options.now();
    /** Checks that are the same for all entries. */
    const known = new Map<string, Check>();
    const opensAt = (entry: Entry) => this.opensFor(entry, at, known);
    const plan = planWake(this.entries, { opensAt, step: this.step, now: at });
    this.step = plan.step;
    this.nextCheckAt = Infinity;
    for (const entry of plan.wake) entry.end({ kind: 'retry', open: entry.open });
    if (this.entries.length > 0) this.checkAt(plan.lookAt);
  }

  private checkAt(at: number): void {
    if (at >= this.nextCheckAt) return;
    this.cancelTimer();
    this.nextCheckAt = at;
    const { setTimer, now } = this.options;
    this.cancelTimer = setTimer(() => this.check(), at - now());
  }

  /** When an entry may go; undefined if unknown. */
  private opensFor(entry: Entry, at: number, known: Map<string, Check>): number | undefined {
    entry.open = [];
    if (entry.aside > at) return entry.aside;
    let soonest: number | undefined;
    for (const want of entry.wants) {
      const opens = want.notBefore > at ? want.notBefore : this.opensTo(want, at, known);
      if (opens <= at) entry.open.push(want.target);
      soonest = Math.min(soonest ?? Infinity, opens);
    }
    return soonest;
  }

  private opensTo(want: Want, at: number, known: Map<string, Check>): number {
    const { may, sampleUntil } = this.options;
    const { target } = want;
    const key = targetKey(target);
    const countsUntil = sampleUntil(target);
    const check = (countsUntil === undefined ? known.get(key) : undefined) ?? may(target);
    if (countsUntil === undefined) known.set(key, check);
    if (check.kind === 'yes') return at;
    // A sample was drawn: no second one before the admitted share has grown.
    if (countsUntil !== undefined) want.notBefore = countsUntil;
    return check.until > at ? check.until : at + paceMs;
  }
}

/** Requests with a partly delivered answer first, then first come first served. */
const isBefore = (one: Entry, other: Entry): boolean =>
  one.urgent === other.urgent ? one.ticket < other.ticket : one.urgent;

const isSame = (one: Target, other: Target): boolean =>
  one.provider === other.provider && one.model === other.model;
