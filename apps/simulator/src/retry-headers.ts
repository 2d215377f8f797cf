import type { Options } from './keys.ts';
import type { WireFormat } from './steps.ts';

/** The headers of an error response about the next attempt. `now` is in milliseconds since 1970. */
export function retryHeaders(
  { retryAfter, retryAfterDate, retryAfterMs, resetHeaders }: Options,
  format: WireFormat,
  now: number,
): Record<string, string> {
  const headers: Record<string, string> = {};
  if (retryAfterDate === 1) {
    headers['retry-after'] = wholeSecond(now + retryAfter * 1000).toUTCString();
  } else if (retryAfter > 0) {
    headers['retry-after'] = String(retryAfter);
  }
  if (retryAfterMs > 0) headers['retry-after-ms'] = String(retryAfterMs);
  return resetHeaders > 0 ? { ...headers, ...format.rateLimitHeaders(resetHeaders, now) } : headers;
}

/** Rounded up, so that a client that comes at this time is not early. */
export function wholeSecond(ms: number): Date {
  return new Date(Math.ceil(ms / 1000) * 1000);
}
