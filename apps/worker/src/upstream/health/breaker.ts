import type { BreakerConfig } from '@millrace/shared/config';

/*
 *              failures, or their rate
 *   closed ───────────────────────────────▶ open ◀───────────────┐
 *     ▲                                      │ until             │ a failure, or
 *     │ rampMs                               ▼       void        │ a failed probe
 *   recovering ◀──────────────────────── half-open ───▶ open     │
 *     └──────────────── good probe ──────────┴────────────────────┘
 *
 * Pure: the same state, evidence and clock give the same next state, on every worker. What only time
 * brings about (open → half-open, recovering → closed) every worker sees by itself.
 */

export type BreakerState =
  | { kind: 'closed' }
  /** The target gets no requests until then. */
  | { kind: 'open'; until: number; times: number; cause: Cause }
  /** One probe at a time in the whole fleet. */
  | { kind: 'half-open'; times: number; cause: Cause; probe: Probe | undefined }
  /** The target gets a growing share of the requests. */
  | { kind: 'recovering'; since: number; times: number };

/** What opened the breaker: failed requests, or only the active checks of a target without requests. */
export type Cause = 'calls' | 'checks';

export type Probe = {
  /** The worker that makes it. */
  by: string;
  /** Milliseconds since the epoch. */
  at: number;
};

/** A target's recent results, over the whole fleet. */
export type Evidence = {
  /** In the window. */
  calls: number;
  errors: number;
  /** Usual share of failing calls, 0 to 1, without the window. */
  usualRate: number;
  /**
   * Consecutive failures: of calls, and of active checks. The former is 0 if a single worker reports failures
   * while others have calls there: the cause may be that worker's own.
   */
  row: number;
  checkRow: number;
  /** The provider asked for no requests before this time; milliseconds since the epoch. */
  retryAt: number | undefined;
};

export type ProbeOutcome = { kind: 'ok' | 'failed' | 'void' };

/** The longest delay of a probe by a provider's `Retry-After`, in milliseconds. */
export const maxRetryAfterMs = 60_000;
/** Milliseconds without news after which a probe counts as lost, together with its worker. */
export const probeLostMs = 5000;
/** The longest time between probes, in intervals. */
const mostIntervals = 4;
/** The share of requests that a recovering target begins with. */
const firstShare = 0.1;
/** Steps of the ramp after which requests that were refused may try again. */
const rampSteps = 10;
/** A target that usually fails less often than this is expected not to fail while it recovers. */
const notableRate = 0.01;

export const closed: BreakerState = { kind: 'closed' };

/** The state after time and evidence; the same object where nothing changes. */
export function judge(
  state: BreakerState,
  seen: Evidence,
  policy: BreakerConfig,
  now: number,
  random: () => number,
): BreakerState {
  if (!policy.enabled) return closed;
  switch (state.kind) {
    case 'closed':
      return isFailing(seen, policy)
        ? opened(1, causeOf(seen), seen.retryAt, policy, now, random)
        : state;
    case 'open': {
      const { until, times, cause } = state;
      return now < until ? state : { kind: 'half-open', times, cause, probe: undefined };
    }
    case 'half-open':
      return state;
    case 'recovering':
      if (failsAgain(seen)) {
        return opened(state.times + 1, causeOf(seen), seen.retryAt, policy, now, random);
      }
      return now < state.since + policy.rampMs ? state : closed;
  }
}

/** The state after a worker has won the claim to probe. */
export const probing = (
  state: Extract<BreakerState, { kind: 'half-open' }>,
  by: string,
  now: number,
): BreakerState => ({ ...state, probe: { by, at: now } });

/** The state after the probe of this state ended. `retryAt` as in the evidence. */
export function probeEnded(
  state: BreakerState,
  outcome: ProbeOutcome,
  retryAt: number | undefined,
  policy: BreakerConfig,
  now: number,
  random: () => number,
): BreakerState {
  if (state.kind !== 'half-open' || !state.probe) return state;
  const { times, cause, probe } = state;
  switch (outcome.kind) {
    case 'ok':
      return { kind: 'recovering', since: now, times };
    case 'failed':
      return opened(times + 1, cause, retryAt, policy, now, random);
    case 'void': {
      // The probe had no result, but it was an attempt, so the next one keeps the interval.
      const until = Math.max(now, probe.at + policy.probeIntervalMs);
      return { kind: 'open', until, times, cause };
    }
  }
}

/** The state after a light check succeeded: that is enough for a target on which only such checks had failed. */
export const checkedWell = (
  state: BreakerState,
  policy: BreakerConfig,
  now: number,
): BreakerState =>
  state.kind === 'half-open' && state.cause === 'checks' && !isProbed(state.probe, policy, now)
    ? { kind: 'recovering', since: now, times: state.times }
    : state;

/** `ask`: a call may be the probe if it wins the claim for it. */
export type Admission = 'yes' | 'no' | 'ask';

export function admits(
  state: BreakerState,
  policy: BreakerConfig,
  now: number,
  random: () => number,
): Admission {
  switch (state.kind) {
    case 'closed':
      return 'yes';
    case 'open':
      return 'no';
    case 'half-open':
      return isProbed(state.probe, policy, now) ? 'no' : 'ask';
    case 'recovering':
      return random() < shareOf(state.since, policy, now) ? 'yes' : 'no';
  }
}

/** When the passing of time next changes the verdict; undefined if only new evidence can. */
export function nextChangeAt(
  state: BreakerState,
  policy: BreakerConfig,
  now: number,
): number | undefined {
  switch (state.kind) {
    case 'closed':
      return undefined;
    case 'open':
      return state.until;
    case 'half-open':
      return isProbed(state.probe, policy, now) ? lostAt(state.probe, policy) : undefined;
    case 'recovering': {
      const step = Math.max(1, policy.rampMs / rampSteps);
      const done = Math.floor(Math.max(0, now - state.since) / step);
      return Math.min(state.since + (done + 1) * step, state.since + policy.rampMs);
    }
  }
}

/** When a probe without news makes room for the next one, which keeps the interval too. */
const lostAt = ({ at }: Probe, { probeIntervalMs }: BreakerConfig): number =>
  at + Math.max(probeLostMs, probeIntervalMs);

const isProbed = (probe: Probe | undefined, policy: BreakerConfig, now: number): probe is Probe =>
  probe !== undefined && now < lostAt(probe, policy);

const shareOf = (since: number, { rampMs }: BreakerConfig, now: number): number =>
  firstShare + (1 - firstShare) * Math.min(1, Math.max(0, now - since) / rampMs);

const isFailing = (seen: Evidence, policy: BreakerConfig): boolean =>
  seen.row + seen.checkRow >= policy.failures ||
  (seen.calls >= policy.calls &&
    seen.errors > seen.calls * (seen.usualRate + policy.errorRate / 100));

/**
 * Whether a recovering target fails again. The window was cleared when the recovery began. A single failure
 * is enough, unless the target fails now and then even when healthy: it would never recover under load.
 */
const failsAgain = ({ calls, errors, usualRate }: Evidence): boolean =>
  errors > (usualRate < notableRate ? 0 : 1 + 2 * usualRate * calls);

const causeOf = ({ row, checkRow, errors }: Evidence): Cause =>
  row === 0 && checkRow > 0 && errors <= checkRow ? 'checks' : 'calls';

/** The probes of an outage come after one interval, then two, four, four …; from the second on with 25 % jitter. */
function opened(
  times: number,
  cause: Cause,
  retryAt: number | undefined,
  { probeIntervalMs }: BreakerConfig,
  now: number,
  random: () => number,
): BreakerState {
  const intervals = Math.min(2 ** Math.min(times - 1, 10), mostIntervals);
  const delayMs = probeIntervalMs * Math.max(1, intervals * (1 - random() / 4));
  const until = Math.max(now + delayMs, Math.min(retryAt ?? 0, now + maxRetryAfterMs));
  return { kind: 'open', until, times, cause };
}
