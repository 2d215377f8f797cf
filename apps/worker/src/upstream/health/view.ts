import type { Evidence } from './breaker.ts';
import { createFirstTokenAverage } from './first-token.ts';
import type { FirstTokenAverage } from './first-token.ts';
import { newTargetCounters } from './gossip-message.ts';
import type { GossipMessage, TargetCounters } from './gossip-message.ts';
import { createSuccessRate } from './success-rate.ts';
import type { SuccessRate } from './success-rate.ts';
import { createWindow } from './window.ts';
import type { Window } from './window.ts';

export type ViewOptions = {
  /** This worker's name. */
  worker: string;
  /** Milliseconds of a target's window. */
  windowMsOf(key: string): number;
  /** Milliseconds since the epoch. */
  now: () => number;
};

/** One target as the whole fleet sees it. */
export type TargetView = {
  readonly key: string;
  /** The counters that this worker sends to the others. */
  readonly own: TargetCounters;
  window: Window;
  windowMs: number;
  readonly firstToken: FirstTokenAverage;
  /** Counts also while the breaker is open, from the few calls that are still made. */
  readonly success: SuccessRate;
  /** Calls in flight at the other live workers. */
  others: number;
  row: number;
  /** The workers that reported the failures of the row. */
  readonly tellers: Set<string>;
  /** When this worker last had a result of a call; milliseconds since the epoch. */
  heardAt: number;
  checkRow: number;
  retryAt: number;
  /** False while the target gets no calls: results that still arrive belong to the time before. */
  counting: boolean;
};

export type CallEnd = 'ok' | 'failed' | 'void';

/** Milliseconds without a message (three intervals) after which a worker no longer counts. */
export const silentMs = 3000;
/** The most workers and targets that are kept; a fleet has far fewer. */
const maxOthers = 1000;
const maxTargets = 1000;
/** Milliseconds between two checks for silent workers. */
const lookMs = 100;

type Other = {
  heardAt: number;
  whole: boolean;
  tallies: Map<string, TargetCounters>;
  /** By target: when the worker last reported a result of a call. */
  calledAt: Map<string, number>;
};

/** This worker's own counts, and those that live workers report. */
export function createFleetView({ worker, windowMsOf, now }: ViewOptions) {
  const targets = new Map<string, TargetView>();
  const others = new Map<string, Other>();
  let lookedAt = 0;

  function target(key: string): TargetView {
    let found = targets.get(key);
    if (!found) {
      found = {
        key,
        own: newTargetCounters(),
        window: createWindow(windowMsOf(key)),
        windowMs: windowMsOf(key),
        firstToken: createFirstTokenAverage(),
        success: createSuccessRate(),
        others: 0,
        row: 0,
        tellers: new Set(),
        heardAt: -Infinity,
        checkRow: 0,
        retryAt: 0,
        counting: true,
      };
      targets.set(key, found);
    }
    return found;
  }

  /** Adds one worker's results. `news`: the counters added since the last call; its `row` is the current value. */
  function record(one: TargetView, news: TargetCounters, by: string): void {
    const at = now();
    one.firstToken.add(news.tokenMs, news.tokens, at);
    one.success.add(news.tokens, news.failed);
    one.retryAt = Math.max(one.retryAt, news.retryAt);
    if (!one.counting) return;
    const { ok, failed, tokens, checksOk, checksFailed, row } = news;
    if (ok + failed + checksFailed > 0) {
      one.window.add(ok + failed + checksFailed, failed + checksFailed, at);
    }
    // A first token shows that the target works, minutes before its answer ends.
    const lives = ok + tokens > 0;
    if (lives) one.tellers.clear();
    one.row = lives ? row : one.row + failed;
    if (one.row > 0 && failed > 0) one.tellers.add(by);
    one.checkRow = (lives || checksOk > 0 ? 0 : one.checkRow) + checksFailed;
  }

  /**
   * Whether the failures may have their cause in one worker: no other worker reports one although others have
   * calls there.
   */
  function isOneSided(one: TargetView): boolean {
    if (one.tellers.size !== 1) return false;
    forgetSilent();
    if (others.size === 0) return false;
    const recent = now() - windowMsOf(one.key);
    if (!one.tellers.has(worker) && (one.own.inFlight > 0 || one.heardAt > recent)) return true;
    for (const [name, { tallies, calledAt }] of others) {
      if (one.tellers.has(name)) continue;
      if ((tallies.get(one.key)?.inFlight ?? 0) > 0) return true;
      if ((calledAt.get(one.key) ?? -Infinity) > recent) return true;
    }
    return false;
  }

  function forgetSilent(): void {
    const at = now();
    if (Math.abs(at - lookedAt) < lookMs) return;
    lookedAt = at;
    for (const [name, { heardAt, tallies }] of others) {
      if (Math.abs(at - heardAt) < silentMs) continue;
      others.delete(name);
      for (const [key, tally] of tallies) target(key).others -= tally.inFlight;
    }
  }

  return {
    target,
    /** Whether the target is known or there is room for it: other workers may name any number. */
    has: (key: string): boolean => targets.has(key) || targets.size < maxTargets,
    targets: (): Iterable<TargetView> => targets.values(),
    /** The config has changed: a window of another length begins anew. */
    retune(): void {
      for (const one of targets.values()) {
        const windowMs = windowMsOf(one.key);
        if (one.windowMs === windowMs) continue;
        one.windowMs = windowMs;
        one.window = createWindow(windowMs);
      }
    },
    /** Live workers, including this one. */
    workers(): number {
      forgetSilent();
      return others.size + 1;
    },
    inFlight(key: string): number {
      const one = targets.get(key);
      if (!one) return 0;
      forgetSilent();
      return one.own.inFlight + one.others;
    },

    /** A call of this worker ended. */
    ended(one: TargetView, end: CallEnd, retryAfterMs = 0): void {
      one.own.inFlight -= 1;
      if (end === 'void') return;
      const retryAt = retryAfterMs > 0 ? now() + retryAfterMs : 0;
      const failed = end === 'failed';
      one.own.row = failed ? one.own.row + 1 : 0;
      one.own[failed ? 'failed' : 'ok'] += 1;
      one.own.retryAt = Math.max(one.own.retryAt, retryAt);
      one.heardAt = now();
      const news = { ...newTargetCounters(), ok: failed ? 0 : 1, failed: failed ? 1 : 0, retryAt };
      record(one, news, worker);
    },
    firstToken(one: TargetView, ms: number): void {
      one.own.tokenMs += ms;
      one.own.tokens += 1;
      one.own.row = 0;
      one.heardAt = now();
      record(one, { ...newTargetCounters(), tokenMs: ms, tokens: 1 }, worker);
    },
    checked(one: TargetView, end: 'ok' | 'failed'): void {
      const field = end === 'ok' ? 'checksOk' : 'checksFailed';
      one.own[field] += 1;
      record(one, { ...newTargetCounters(), [field]: 1 }, worker);
    },
    /** Resets the recent counts, because they say nothing about the target's new state. */
    renew(one: TargetView, counting: boolean): void {
      one.window.clear(now());
      one.row = 0;
      one.tellers.clear();
      one.checkRow = 0;
      one.own.row = 0;
      one.counting = counting;
    },

    evidence(one: TargetView): Evidence {
      const at = now();
      const usual = one.window.usual(at);
      return {
        ...one.window.recent(at),
        // A few calls do not make a usual rate.
        usualRate: usual.errors / Math.max(usual.calls, fewCalls),
        row: one.row > 0 && isOneSided(one) ? 0 : one.row,
        checkRow: one.checkRow,
        retryAt: one.retryAt > at ? one.retryAt : undefined,
      };
    },

    /** Merges a message of another worker; returns the targets with new results. */
    merge(message: GossipMessage): TargetView[] {
      if (message.worker === worker) return [];
      forgetSilent();
      let other = others.get(message.worker);
      if (!other) {
        if (others.size >= maxOthers) return [];
        other = { heardAt: 0, whole: false, tallies: new Map(), calledAt: new Map() };
        others.set(message.worker, other);
      }
      const changed: TargetView[] = [];
      for (const [key, tally] of message.tallies) {
        if (!targets.has(key) && targets.size >= maxTargets) continue;
        const one = target(key);
        const before = other.tallies.get(key);
        other.tallies.set(key, tally);
        one.others += tally.inFlight - (before?.inFlight ?? 0);
        // The totals of a worker that is new here do not show what is recent.
        const base = before ?? (other.whole ? newTargetCounters() : undefined);
        if (base && addedTo(base, tally)) {
          const news = since(base, tally);
          if (news.ok + news.failed + news.tokens > 0) other.calledAt.set(key, now());
          record(one, news, message.worker);
          changed.push(one);
        }
      }
      other.heardAt = now();
      other.whole ||= message.whole;
      return changed;
    },
  };
}

export type FleetView = ReturnType<typeof createFleetView>;

/** With fewer calls the usual rate is lowered. */
const fewCalls = 20;

const addedTo = (before: TargetCounters, after: TargetCounters): boolean =>
  after.ok !== before.ok ||
  after.failed !== before.failed ||
  after.tokens !== before.tokens ||
  after.checksOk !== before.checksOk ||
  after.checksFailed !== before.checksFailed ||
  after.retryAt > before.retryAt;

/** Counters that decrease come from a restarted worker under the same name: the difference is 0. */
const since = (before: TargetCounters, after: TargetCounters): TargetCounters => ({
  ...after,
  ok: Math.max(0, after.ok - before.ok),
  failed: Math.max(0, after.failed - before.failed),
  tokenMs: Math.max(0, after.tokenMs - before.tokenMs),
  tokens: Math.max(0, after.tokens - before.tokens),
  checksOk: Math.max(0, after.checksOk - before.checksOk),
  checksFailed: Math.max(0, after.checksFailed - before.checksFailed),
});
