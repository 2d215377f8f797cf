import { charged, minuteMs } from '@millrace/shared/store/quota/port';
import type { Charge, Taken } from '@millrace/shared/store/quota/port';

/** Which limit of a key a request exceeds. */
export type LimitKind = 'requests' | 'tokens' | 'concurrent';

export type Limited = {
  kind: 'limited';
  by: LimitKind;
  message: string;
  retryAfterMs: number;
  headers: Record<string, string>;
};

export type LimitVerdict = { kind: 'admitted'; headers: Record<string, string> } | Limited;

/** Turns the reply of the windows into a verdict, with the message and the headers for the client. */
export function judgeRates(keyId: string, charges: readonly Charge[], taken: Taken): LimitVerdict {
  const headers = rateHeaders(charges, taken);
  if (taken.kind === 'yes') return { kind: 'admitted', headers };
  const { retryAfterMs } = taken;
  const over = charges.findIndex(
    (charge, i) => (taken.used[i] ?? 0) + charged(charge) > charge.limit,
  );
  const { name, limit } = charges[over] ?? charges[0] ?? { name: 'requests', limit: 0 };
  const used = taken.used[Math.max(0, over)] ?? 0;
  const requested = charges[Math.max(0, over)]?.amount ?? 1;
  return {
    kind: 'limited',
    by: name === 'tokens' ? 'tokens' : 'requests',
    message:
      `Rate limit reached for key '${keyId}' on ${name} per minute: limit ${limit}, used ${used}, ` +
      `requested ${requested}. Please try again in ${formatDuration(retryAfterMs)}.`,
    retryAfterMs,
    headers,
  };
}

/** Milliseconds. When the requests under way will end is unknown. */
const retryConcurrentMs = 1000;

/** `headers`: the last known rates of the key, which this request did not query. */
export const tooManyConcurrent = (
  keyId: string,
  limit: number,
  headers: Record<string, string>,
): Limited => ({
  kind: 'limited',
  by: 'concurrent',
  message: `Rate limit reached for key '${keyId}' on concurrent requests: ${limit} are under way. Please try again when one of them has ended.`,
  retryAfterMs: retryConcurrentMs,
  headers,
});

/** The headers that OpenAI sends, for each rate that has a limit. */
export function rateHeaders(charges: readonly Charge[], taken: Taken): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [i, { name, limit }] of charges.entries()) {
    headers[`x-ratelimit-limit-${name}`] = String(limit);
    headers[`x-ratelimit-remaining-${name}`] = String(Math.max(0, limit - (taken.used[i] ?? 0)));
    headers[`x-ratelimit-reset-${name}`] = formatDuration(taken.resetMs[i] ?? 0);
  }
  return headers;
}

/**
 * As `rateHeaders`, from a reply of the windows `agoMs` milliseconds ago. A reply is valid for a minute;
 * without one the headers contain only the limits.
 */
export function rememberedHeaders(
  charges: readonly Charge[],
  last: { taken: Taken; agoMs: number } | undefined,
): Record<string, string> {
  if (last && last.agoMs < minuteMs) {
    const { taken, agoMs } = last;
    const resetMs = taken.resetMs.map((ms) => Math.max(0, ms - agoMs));
    return rateHeaders(charges, { ...taken, resetMs });
  }
  return Object.fromEntries(
    charges.map(({ name, limit }) => [`x-ratelimit-limit-${name}`, String(limit)]),
  );
}

/** Formats as `120ms`, `1s`, `6m0s`: rounded up, so that a client that waits this long does not retry too early. */
export function formatDuration(ms: number): string {
  if (ms <= 0) return '0s';
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
