import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { noTarget, tooLate, whyShut } from './no-target.ts';
import type { Cause } from './no-target.ts';
import type { Check, WaitLimits } from './port.ts';
import { TargetQueue } from './target-queue.ts';
import type { Arrival, Entry } from './target-queue.ts';
import { waitVerdict } from './wait-verdict.ts';
import type { WaitVerdict } from './wait-verdict.ts';
import type {
  TargetWaiter,
  TargetWaiterOptions,
  WaitOutcome,
  WaitRequest,
  Want,
} from './waiter.ts';

export type WaitingOptions = {
  /** Requests that may wait concurrently; those with a partly delivered answer are not limited. */
  readonly limit: number;
  /** How many requests of a model may wait for capacity. */
  waitLimits: WaitLimits;
  now(): number;
  /** Returns a function that cancels the timer. */
  setTimer(act: () => void, ms: number): () => void;
  /**
   * Whether a target may be asked now. While it gets a share of the requests, a sample is drawn unless one is
   * given.
   */
  may(model: string, target: Target, sample?: 'admitted'): Check;
  /** Why a target takes no request now. Draws no sample. */
  causeOf(target: Target): Cause;
  /** The provider's limit that blocks a target; undefined if there is none. */
  limitOf(target: Target): Fault | undefined;
  /** Until when a sample is valid, in milliseconds since the epoch; undefined if none is drawn. */
  sampleUntil(model: string, target: Target): number | undefined;
};

/**
 * The longest time in milliseconds for which a request that a target refused lets the others of its queue go
 * first. It is shorter than that target's time may be, because another target may accept it sooner.
 */
const longestAsideMs = 5000;
/** Milliseconds for which a request that had no use for the open targets lets others go first. */
const unusedAsideMs = 1000;
/** The shortest `Retry-After` that a client receives, in milliseconds. */
const shortestRetryMs = 1000;

export type Waiting = ReturnType<typeof createWaiting>;

/** The queues in which requests wait while every acceptable target is broken, at its limit or held. */
export function createWaiting(options: WaitingOptions) {
  const queues = new Map<string, TargetQueue>();
  const counts: Counts = { tickets: 0, waiting: 0, parked: 0 };

  function queueOf(model: string): TargetQueue {
    const { now, setTimer, may, sampleUntil } = options;
    const queue =
      queues.get(model) ??
      new TargetQueue({
        now,
        setTimer,
        may: (target) => may(model, target),
        sampleUntil: (target) => sampleUntil(model, target),
      });
    queues.set(model, queue);
    return queue;
  }

  const room: Room = {
    counts,
    hasBefore: (model, ticket, target) => queues.get(model)?.hasBefore(ticket, target) ?? false,
    enter(model, entry, arrival) {
      counts.waiting += 1;
      queueOf(model).add(entry, arrival);
    },
    leave(model, entry) {
      const queue = queues.get(model);
      if (!queue?.remove(entry)) return;
      counts.waiting -= 1;
      if (queue.entries.length === 0) queues.delete(model);
    },
  };

  return {
    open: (model: string, request: TargetWaiterOptions): TargetWaiter =>
      new Waiter(model, request, options, room),
    /** A target may have become available. */
    wake(): void {
      for (const queue of queues.values()) queue.wake();
    },
    count: (model?: string): number =>
      model === undefined ? counts.waiting : (queues.get(model)?.entries.length ?? 0),
  };
}

type Counts = {
  tickets: number;
  waiting: number;
  /** Requests that wait, or were woken and may wait again. */
  parked: number;
};

/** The state that waiters share. */
type Room = {
  counts: Counts;
  hasBefore(model: string, ticket: number, target: Target): boolean;
  enter(model: string, entry: Entry, arrival: Arrival): void;
  leave(model: string, entry: Entry): void;
};

/** The options of a request, with their defaults applied. */
type Need = Required<Omit<WaitRequest, 'wants'>>;

class Waiter implements TargetWaiter {
  private readonly model: string;
  private readonly options: WaitingOptions;
  private readonly room: Room;
  private readonly ticket: number;
  private readonly signal: AbortSignal;
  private readonly deadlineAt: number;
  /** Remaining milliseconds that it may wait. */
  private leftMs: number;
  private wasWoken = false;
  /** When it began to count as waiting. */
  private parkedAt: number | undefined;

  constructor(
    model: string,
    { signal, maxWaitMs, deadlineAt = Infinity }: TargetWaiterOptions,
    options: WaitingOptions,
    room: Room,
  ) {
    this.model = model;
    this.signal = signal;
    this.leftMs = maxWaitMs;
    this.deadlineAt = deadlineAt;
    this.options = options;
    this.room = room;
    this.ticket = ++room.counts.tickets;
  }

  isBehind(target: Target): boolean {
    return this.room.hasBefore(this.model, this.ticket, target);
  }

  admitted(): void {
    this.unpark('through');
  }

  abandon(): void {
    this.unpark('gone');
  }

  wait({ wants, ...request }: WaitRequest): Promise<WaitOutcome> {
    const { urgent = false, retryAfterMs = 0, hasAsked = true } = request;
    const { isFresh = false, isDetached = false } = request;
    const need: Need = { urgent, retryAfterMs, hasAsked, isFresh, isDetached };
    const since = this.options.now();
    const verdict = this.verdict(need, since);
    if (verdict.kind === 'wait') return this.queue(wants, need, since);
    // The state of its model is read before the request stops counting.
    const outcome = this.outcomeOf(verdict, wants, need, since);
    this.unpark(verdict.kind === 'aborted' ? 'gone' : 'gave_up');
    return Promise.resolve(outcome);
  }

  private verdict(need: Need, since: number): WaitVerdict {
    const { waitLimits, limit } = this.options;
    return waitVerdict({
      ...need,
      isAborted: this.signal.aborted,
      isPastDeadline: this.deadlineAt <= since,
      leftMs: this.leftMs,
      isParked: this.parkedAt !== undefined,
      isModelFull: waitLimits.isFull(this.model),
      isFull: this.room.counts.parked >= limit,
    });
  }

  private outcomeOf(
    verdict: Exclude<WaitVerdict, { kind: 'wait' }>,
    wants: readonly Want[],
    { urgent, retryAfterMs }: Need,
    since: number,
  ): WaitOutcome {
    switch (verdict.kind) {
      case 'aborted':
      case 'not_yet':
        return { kind: verdict.kind };
      case 'too_late':
        return { kind: 'fault', fault: tooLate(this.why(wants)) };
      case 'unavailable': {
        const { waitLimits } = this.options;
        if (verdict.goesBack && !urgent && waitLimits.isLimited(this.model)) {
          waitLimits.coolDown(this.model);
          return { kind: 'not_yet' };
        }
        return { kind: 'fault', fault: this.unavailable(wants, since + retryAfterMs) };
      }
    }
  }

  private queue(wanted: readonly Want[], need: Need, since: number): Promise<WaitOutcome> {
    const { model, options, room, signal, deadlineAt, leftMs, wasWoken } = this;
    const { setTimer, sampleUntil } = options;
    if (!need.urgent) this.park();
    // Its samples were drawn already, or must not be drawn yet.
    const wants = wanted.map(({ target, notBefore }) => ({
      target,
      notBefore: Math.max(notBefore, sampleUntil(model, target) ?? 0),
    }));
    const isUnused = wasWoken && !need.hasAsked;
    const aside = since + (isUnused ? this.unusedMs(wants, since) : refusedMs(need));
    return new Promise((resolve) => {
      const end = (outcome: WaitOutcome): void => {
        room.leave(model, entry);
        cancelEnd();
        signal.removeEventListener('abort', onAbort);
        this.leftMs -= options.now() - since;
        this.wasWoken = outcome.kind === 'retry';
        if (!this.wasWoken) this.unpark(outcome.kind === 'aborted' ? 'gone' : 'gave_up');
        resolve(outcome);
      };
      const { ticket } = this;
      const entry: Entry = { ticket, urgent: need.urgent, wants, aside, open: [], end };
      const onAbort = (): void => end({ kind: 'aborted' });
      const isDeadline = deadlineAt < since + leftMs;
      const over: Exclude<WaitVerdict, { kind: 'wait' }> = isDeadline
        ? { kind: 'too_late' }
        : { kind: 'unavailable', goesBack: need.isDetached };
      const cancelEnd = setTimer(
        () => end(this.outcomeOf(over, wants, need, since)),
        isDeadline ? deadlineAt - since : leftMs,
      );
      signal.addEventListener('abort', onAbort, { once: true });
      const back = isUnused ? 'unused' : 'refused';
      room.enter(model, entry, wasWoken ? back : 'new');
    });
  }

  /** How long it lets others go first because it has asked no target since it was woken. */
  private unusedMs(wants: readonly Want[], at: number): number {
    const isOpen = ({ target, notBefore }: Want) =>
      notBefore <= at && this.options.may(this.model, target, 'admitted').kind === 'yes';
    return wants.some(isOpen) ? unusedAsideMs : 0;
  }

  private unavailable(wants: readonly Want[], notBefore: number): Fault {
    const { may, limitOf, now } = this.options;
    const closed = wants.map(({ target }) => {
      const check = may(this.model, target, 'admitted');
      const isLimited = check.kind === 'no' && check.why === 'limited';
      return {
        until: check.kind === 'yes' ? 0 : check.until,
        limit: isLimited ? limitOf(target) : undefined,
      };
    });
    const first = closed.toSorted((one, other) => one.until - other.until)[0];
    const opens = Math.max(first?.until ?? 0, notBefore) - now();
    const retryAfterMs = Math.max(shortestRetryMs, Math.ceil(opens));
    // The provider's limit is the reason only if no target is broken or at a limit of our own.
    const isLimit = closed.every(({ limit }) => limit !== undefined);
    return { ...((isLimit && first?.limit) || noTarget(this.why(wants))), retryAfterMs };
  }

  private why(wants: readonly Want[]): string {
    const targets = wants.map(({ target }) => target);
    return whyShut(targets, this.options.causeOf);
  }

  private park(): void {
    if (this.parkedAt !== undefined) return;
    this.parkedAt = this.options.now();
    this.room.counts.parked += 1;
    this.options.waitLimits.waitStarted(this.model);
  }

  private unpark(how: 'through' | 'gave_up' | 'gone'): void {
    if (this.parkedAt === undefined) return;
    const since = this.parkedAt;
    this.parkedAt = undefined;
    this.room.counts.parked -= 1;
    this.options.waitLimits.waitEnded(this.model, since, how);
  }
}

const refusedMs = ({ retryAfterMs }: Need): number => Math.min(longestAsideMs, retryAfterMs);
