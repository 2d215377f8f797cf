import type { Fault } from '@millrace/shared/domain/fault';
import type { Limits, Remaining, Quota } from '@millrace/formats/rate-limits';

/** Milliseconds for which a key is not used after a 429 without a time; doubled each time. */
const firstCoolMs = 1000;
const longestCoolMs = 60_000;
/**
 * Longest accepted wait that a provider asks for, in milliseconds: a wrong header must not disable a key for
 * good.
 */
const longestWishMs = 3_600_000;
/**
 * Longest time in milliseconds for which an exhausted quota blocks a key without a 429; then one request
 * tries again. Providers mean different things by their resets (the next unit, the full minute, the day).
 */
const longestReadMs = 60_000;
/** Milliseconds for which a rejected key is set aside; doubled each time. */
const firstAsideMs = 60_000;
const longestAsideMs = 600_000;
/** A single 403 may concern the request; this many in a row concern the key. */
const forbiddenInARow = 3;

/** The state of a key for one model: providers count per model. */
export type ModelState = {
  coolUntil: number;
  /** 429s in a row. */
  limited: number;
  quota: Quota | undefined;
  /** The number of the call that brought the quota. */
  quotaBy: number;
  /** Calls without a response yet, by number, and the estimated tokens of each. */
  open: Map<number, number>;
};

export type KeyState = {
  asideUntil: number;
  /** Consecutive rejections of the key. */
  refused: number;
  forbidden: number;
  /** The number of the newest call with it. */
  usedBy: number;
  models: Map<string, ModelState>;
};

export const newKeyState = (): KeyState => ({
  asideUntil: 0,
  refused: 0,
  forbidden: 0,
  usedBy: 0,
  models: new Map(),
});

export function modelState(key: KeyState, model: string): ModelState {
  const state = key.models.get(model) ?? {
    coolUntil: 0,
    limited: 0,
    quota: undefined,
    quotaBy: 0,
    open: new Map<number, number>(),
  };
  key.models.set(model, state);
  return state;
}

/** A change that other workers should know: the key, or the key with this model, is not to be used for a while. */
export type KeyChange = { kind: 'cooled' | 'aside'; ms: number };

/** Applies a response's head. Returns a change if other workers must know it. */
export function applyAnswer(
  key: KeyState,
  model: ModelState,
  answer: { limits: Limits; status: number; call: number; now: number },
): KeyChange | undefined {
  const { limits, status, call, now } = answer;
  const { quota } = limits;
  if (quota) Object.assign(model, { quota: bounded(quota, now), quotaBy: call });
  if (status === 429) {
    const ms = coolMs(model, limits, now);
    // 429s of concurrent calls count as one: the pause grows only when it happens again later.
    if (model.coolUntil <= now) model.limited += 1;
    model.coolUntil = Math.max(model.coolUntil, now + ms);
    return { kind: 'cooled', ms };
  }
  key.forbidden = status === 403 ? key.forbidden + 1 : 0;
  if (status === 401 || key.forbidden >= forbiddenInARow) return setAside(key, now);
  if (status >= 200 && status < 300) {
    // A success of a call that began before the rejection proves nothing.
    if (model.coolUntil <= now) model.limited = 0;
    if (key.asideUntil <= now) key.refused = 0;
  }
  const until = exhaustedUntil(model);
  return until > now && isEmpty(quota) ? { kind: 'cooled', ms: until - now } : undefined;
}

/**
 * Applies what a response's body says about the key and its head did not: some providers reject a key with
 * status 400, some report a rate limit inside a response with status 200, and some give the time only in the
 * body.
 */
export function applyFault(
  key: KeyState,
  model: ModelState,
  { fault, status, now }: { fault: Fault; status: number | undefined; now: number },
): KeyChange | undefined {
  const { code, retryAfterMs } = fault;
  // A key of an account without credit cannot be used.
  if (code === 'upstream_quota_exceeded') return setAside(key, now);
  if (code === 'upstream_auth_failed') {
    return status === 401 || status === 403 ? undefined : setAside(key, now);
  }
  if (code !== 'upstream_rate_limited') return undefined;
  if (status === 429 && retryAfterMs === undefined) return undefined;
  const ms =
    retryAfterMs === undefined ? guessMs(model, now) : Math.min(retryAfterMs, longestWishMs);
  // A 429 was already counted by its head.
  if (status !== 429 && model.coolUntil <= now) model.limited += 1;
  if (model.coolUntil >= now + ms) return undefined;
  model.coolUntil = now + ms;
  return { kind: 'cooled', ms };
}

function setAside(key: KeyState, now: number): KeyChange | undefined {
  // Rejections of concurrent calls count as one.
  if (key.asideUntil > now) return undefined;
  const ms = Math.min(longestAsideMs, firstAsideMs * 2 ** key.refused);
  key.refused += 1;
  key.asideUntil = now + ms;
  return { kind: 'aside', ms };
}

function coolMs(model: ModelState, { quota, retryAfterMs }: Limits, now: number): number {
  if (retryAfterMs !== undefined) return Math.min(retryAfterMs, longestWishMs);
  const resets = lefts(quota).flatMap(({ remaining, resetAt = now }) =>
    remaining <= 0 && resetAt > now ? [resetAt - now] : [],
  );
  if (resets.length > 0) return Math.min(Math.max(...resets), longestWishMs);
  return guessMs(model, now);
}

/** The pause after a rate limit without a time. */
function guessMs(model: ModelState, now: number): number {
  const times = model.coolUntil > now ? Math.max(0, model.limited - 1) : model.limited;
  return Math.min(longestCoolMs, firstCoolMs * 2 ** times);
}

/** Until when the key may not be used for this model; a time in the past if it may. */
export const closedUntil = (key: KeyState, model: ModelState): number =>
  Math.max(key.asideUntil, limitedUntil(model));

/** The same, by its limits alone. */
export const limitedUntil = (model: ModelState): number =>
  Math.max(model.coolUntil, exhaustedUntil(model));

/**
 * The remaining share, from 0 to 1, of the scarcer of requests and tokens; 1 if the provider does not report
 * it.
 */
export function shareLeft(model: ModelState, now: number): number {
  return Math.min(
    1,
    ...lefts(model.quota, model).flatMap(({ remaining, limit, resetAt }) =>
      limit === undefined || limit <= 0 || (resetAt ?? Infinity) <= now
        ? []
        : [Math.max(0, remaining) / limit],
    ),
  );
}

function exhaustedUntil(model: ModelState): number {
  const resets = lefts(model.quota, model).flatMap(({ remaining, resetAt }) =>
    remaining <= 0 && resetAt !== undefined ? [resetAt] : [],
  );
  return Math.max(0, ...resets);
}

function bounded({ requests, tokens }: Quota, now: number): Quota {
  const bound = (left: Remaining | undefined): Remaining | undefined =>
    left?.resetAt === undefined
      ? left
      : { ...left, resetAt: Math.min(left.resetAt, now + longestReadMs) };
  return { requests: bound(requests), tokens: bound(tokens) };
}

const isEmpty = (quota: Quota | undefined): boolean =>
  lefts(quota).some(({ remaining }) => remaining <= 0);

/**
 * The remaining amounts of a quota; if `model` is given, less those of calls in flight since the call that
 * reported it.
 */
function lefts(quota: Quota | undefined, model?: ModelState): readonly Remaining[] {
  // Fast path: most providers report no quota, and each request evaluates this several times, with many calls
  // in flight.
  if (!quota) return none;
  let calls = 0;
  let tokens = 0;
  for (const [call, weight] of model?.open ?? []) {
    if (call <= (model?.quotaBy ?? 0)) continue;
    calls += 1;
    tokens += weight;
  }
  const less = (left: Remaining | undefined, amount: number): Remaining[] =>
    left ? [{ ...left, remaining: left.remaining - amount }] : [];
  return [...less(quota.requests, calls), ...less(quota.tokens, tokens)];
}

const none: readonly Remaining[] = [];
