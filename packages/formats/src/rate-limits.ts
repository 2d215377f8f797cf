import type { Headers } from './port.ts';

/** What remains of one of a provider's limits. */
export type Remaining = {
  remaining: number;
  limit?: number | undefined;
  /** When it is full again, in milliseconds since the epoch; undefined if the provider does not report it. */
  resetAt?: number | undefined;
};

export type Quota = { requests?: Remaining | undefined; tokens?: Remaining | undefined };

/** A provider's limits, from the head of a response. */
export type Limits = {
  quota: Quota | undefined;
  /** Milliseconds after which the provider wants to be asked again. */
  retryAfterMs: number | undefined;
};

type Names = { remaining: string; limit: string; reset: string };

/**
 * The headers in which one kind of providers reports remaining amounts; of several kinds of tokens, the
 * scarcest counts.
 */
export type QuotaHeaders = { requests: Names; tokens: readonly Names[] };

const namesOf = (pattern: string): Names => ({
  remaining: pattern.replace('#', 'remaining'),
  limit: pattern.replace('#', 'limit'),
  reset: pattern.replace('#', 'reset'),
});

/** OpenAI's, and those of providers that imitate it. */
export const openAiQuota: QuotaHeaders = {
  requests: namesOf('x-ratelimit-#-requests'),
  tokens: [namesOf('x-ratelimit-#-tokens')],
};

export const anthropicQuota: QuotaHeaders = {
  requests: namesOf('anthropic-ratelimit-requests-#'),
  tokens: ['tokens', 'input-tokens', 'output-tokens'].map((kind) =>
    namesOf(`anthropic-ratelimit-${kind}-#`),
  ),
};

/**
 * Reads the limits in the head of a response, by the first of these kinds of headers that it has. A gateway
 * may use one vendor's format and pass on the headers of another one, so a format supports more kinds than
 * its own.
 */
export const limitsReader =
  (kinds: readonly QuotaHeaders[]) =>
  (headers: Headers, now: number): Limits => ({
    quota: readQuota(kinds, headers, now),
    retryAfterMs: readRetryAfter(headers, now),
  });

function readQuota(
  kinds: readonly QuotaHeaders[],
  headers: Headers,
  now: number,
): Quota | undefined {
  let requests: Remaining | undefined;
  let tokens: Remaining | undefined;
  for (const kind of kinds) {
    requests ??= remainingOf(headers, kind.requests, now);
    tokens ??= scarcest(kind.tokens.map((names) => remainingOf(headers, names, now)));
  }
  return requests || tokens ? { requests, tokens } : undefined;
}

/** `retry-after-ms`, or `Retry-After` in seconds or as a date; in milliseconds. */
export function readRetryAfter(headers: Headers, now: number): number | undefined {
  const ms = number(headers['retry-after-ms']);
  if (ms !== undefined && ms > 0) return ms;
  const text = one(headers['retry-after']);
  if (text === undefined) return undefined;
  const seconds = number(text);
  if (seconds !== undefined) return seconds >= 0 ? seconds * 1000 : undefined;
  const date = readDate(text, headers, now);
  return date === undefined ? undefined : Math.max(0, date - now);
}

function remainingOf(headers: Headers, kind: Names, now: number): Remaining | undefined {
  const remaining = number(headers[kind.remaining]);
  if (remaining === undefined) return undefined;
  const reset = one(headers[kind.reset]);
  return {
    remaining,
    limit: number(headers[kind.limit]),
    resetAt: reset === undefined ? undefined : readReset(reset, headers, now),
  };
}

/** The limit with the smallest remaining share, if the limits are known. */
function scarcest(all: readonly (Remaining | undefined)[]): Remaining | undefined {
  return all
    .filter((one) => one !== undefined)
    .sort((a, b) => a.remaining / (a.limit ?? Infinity) - b.remaining / (b.limit ?? Infinity))
    .at(0);
}

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads `6ms` or `1m30.951s`, a date, or a bare number: milliseconds at Azure, seconds elsewhere, and if it
 * is too large for a duration, a time since the epoch.
 */
function readReset(text: string, headers: Headers, now: number): number | undefined {
  const bare = number(text);
  if (bare !== undefined) {
    if (bare > 1e12) return bare;
    if (bare > 1e9) return bare * 1000;
    return now + bare * ('x-ratelimit-renewalperiod-requests' in headers ? 1 : 1000);
  }
  const span = readSpan(text);
  return span === undefined ? readDate(text, headers, now) : now + span;
}

/** A time span as providers write it, `6ms` or `1m30.951s`, in milliseconds; undefined for anything else. */
export function readSpan(text: string): number | undefined {
  if (text.length > 40 || !/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  return parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (unitMs[unit] ?? 0), 0);
}

/** By the provider's own clock, if it is known, because ours may differ. */
function readDate(text: string, headers: Headers, now: number): number | undefined {
  const date = Date.parse(text);
  if (Number.isNaN(date)) return undefined;
  const theirs = Date.parse(one(headers['date']) ?? '');
  return Number.isNaN(theirs) ? date : date - theirs + now;
}

function number(text: string | string[] | undefined): number | undefined {
  const value = one(text);
  return value === undefined || !/^-?\d+(\.\d+)?$/.test(value) ? undefined : Number(value);
}

const one = (value: string | string[] | undefined): string | undefined =>
  (Array.isArray(value) ? value[0] : value)?.trim();
