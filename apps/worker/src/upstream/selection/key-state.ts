import type { Fault } from '@millrace/shared/domain/fault';
import type { Limits, Remaining, Quota } from '@millrace/formats/rate-limits';

/** Milliseconds that a key is left alone after a 429 that says nothing; twice as long each time. */
const firstCoolMs = 1000;
const longestCoolMs = 60_000;
/** Milliseconds of the longest wish that is believed: a mistaken header must not cost a key for good. */
const longestWishMs = 3_600_000;
/**
 * Milliseconds that a quota may say no for, without a 429: then one request asks again. Providers
 * mean different things by their resets (the next unit, the full minute, the day).
 */
const longestReadMs = 60_000;
/** Milliseconds that a refused key is set aside; twice as long each time. */
const firstAsideMs = 60_000;
const longestAsideMs = 600_000;
/** A 403 may be about a request; this many in a row are about the key. */
const forbiddenInARow = 3;

/** What is known of a key and one model: providers count per model. */
export type ModelState = {
  coolUntil: number;
  /** 429s in a row. */
  limited: number;
  quota: Quota | undefined;
  /** The number of the call that brought the quota. */
  quotaBy: number;
  /** Calls that have no answer yet, by their number, and the tokens that each may use. */
  open: Map<number, number>;
};

export type KeyState = {
  asideUntil: number;
  /** Refusals of the key in a row. */
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

/** What others should know: the key, or the key with this model, is not to be asked for a while. */
export type KeyChange = { kind: 'cooled' | 'aside'; ms: number };

/** Takes in what an answer says. Undefined: nothing that others must know. */
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
    // Calls that were under way together are one 429: the pause grows when it comes back.
    if (model.coolUntil <= now) model.limited += 1;
    model.coolUntil = Math.max(model.coolUntil, now + ms);
    return { kind: 'cooled', ms };
  }
  key.forbidden = status === 403 ? key.forbidden + 1 : 0;
  if (status === 401 || key.forbidden >= forbiddenInARow) return setAside(key, now);
  if (status >= 200 && status < 300) {
    // One that began before the refusal proves nothing.
    if (model.coolUntil <= now) model.limited = 0;
    if (key.asideUntil <= now) key.refused = 0;
  }
  const until = exhaustedUntil(model);
  return until > now && isEmpty(quota) ? { kind: 'cooled', ms: until - now } : undefined;
}

/**
 * Takes in what the body of an answer says of the key, where its head did not: some providers refuse a key
 * with 400, and some say "slow down" inside an answer with status 200, or for how long only in the body.
 */
export function applyFault(
  key: KeyState,
  model: ModelState,
  { fault, status, now }: { fault: Fault; status: number | undefined; now: number },
): KeyChange | undefined {
  const { code, retryAfterMs } = fault;
  // An account without credit is no key for as long as that lasts.
  if (code === 'upstream_quota_exceeded') return setAside(key, now);
  if (code === 'upstream_auth_failed') {
    return status === 401 || status === 403 ? undefined : setAside(key, now);
  }
  if (code !== 'upstream_rate_limited') return undefined;
  if (status === 429 && retryAfterMs === undefined) return undefined;
  const ms =
    retryAfterMs === undefined ? guessMs(model, now) : Math.min(retryAfterMs, longestWishMs);
  // With a 429 its head has counted it.
  if (status !== 429 && model.coolUntil <= now) model.limited += 1;
  if (model.coolUntil >= now + ms) return undefined;
  model.coolUntil = now + ms;
  return { kind: 'cooled', ms };
}

function setAside(key: KeyState, now: number): KeyChange | undefined {
  // Calls that were under way together were refused together: that is one refusal.
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

/** Of a "slow down" that names no time. */
function guessMs(model: ModelState, now: number): number {
  const times = model.coolUntil > now ? Math.max(0, model.limited - 1) : model.limited;
  return Math.min(longestCoolMs, firstCoolMs * 2 ** times);
}

/** Until when the key may not be asked for this model; a time that is past when it may be. */
export const closedUntil = (key: KeyState, model: ModelState): number =>
  Math.max(key.asideUntil, limitedUntil(model));

/** The same, of its limits alone. */
export const limitedUntil = (model: ModelState): number =>
  Math.max(model.coolUntil, exhaustedUntil(model));

/** What is left, from 0 to 1, by the scarcer of requests and tokens; 1 if the provider did not say. */
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

/** What a quota leaves; less what is under way since the call that brought it, where a state is given. */
function lefts(quota: Quota | undefined, model?: ModelState): readonly Remaining[] {
  // Most providers say nothing; and each request asks this several times, with many calls under way.
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
