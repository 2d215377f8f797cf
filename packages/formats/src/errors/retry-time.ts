import { isJsonObject } from '@millrace/shared/domain/json';
import { readSpan } from '../rate-limits.ts';
import type { Reason } from './reason.ts';

/**
 * Milliseconds after which a provider asks for the next attempt, according to its error: Google's RetryInfo
 * (`"retryDelay":"48s"`), a member `retry_after` in seconds or `retry_after_ms`, the headers that OpenRouter
 * quotes, or a message such as "try again in 1.4s". Undefined if it contains no time.
 */
export function retryTimeIn({ told, said }: Reason, now: number): number | undefined {
  const { details, retry_after: seconds, retry_after_ms: ms, metadata } = told;
  for (const one of Array.isArray(details) ? (details as unknown[]) : []) {
    const delay = isJsonObject(one) ? readDelay(one['retryDelay']) : undefined;
    if (delay !== undefined) return delay;
  }
  if (isTime(ms)) return ms;
  if (isTime(seconds)) return seconds * 1000;
  const headers = isJsonObject(metadata) ? metadata['headers'] : undefined;
  const reset = isJsonObject(headers) ? Number(headers['X-RateLimit-Reset']) : NaN;
  // Milliseconds since the epoch.
  if (reset > 1e12) return Math.max(0, reset - now);
  return inWords(said);
}

/** A duration in Google's form: `"48s"`, `"0.5s"`, or its parts. */
function readDelay(value: unknown): number | undefined {
  if (typeof value === 'string') return readSpan(value);
  if (!isJsonObject(value)) return undefined;
  const [seconds, nanos] = [Number(value['seconds'] ?? 0), Number(value['nanos'] ?? 0)];
  const ms = seconds * 1000 + nanos / 1e6;
  return isTime(ms) ? ms : undefined;
}

const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0;

const words =
  /\b(?:try again|retry(?: again)?|wait)(?: in| after| for)? ((?:\d+(?:\.\d+)?(?:ms|s|m|h|d)){1,4}|\d+(?:\.\d+)?)( ?(?:milli)?seconds?| ?minutes?)?\b/i;

/** OpenAI and Groq: `6m0s`, `1.4s`, `20ms`; Azure: `20 seconds`; Gemini: `48.9s`. */
function inWords(said: string): number | undefined {
  const found = words.exec(said);
  if (!found?.[1]) return undefined;
  const [, span, unit] = found;
  if (unit === undefined) return readSpan(span);
  const count = Number(span);
  if (/milli/i.test(unit)) return count;
  return /minute/i.test(unit) ? count * 60_000 : count * 1000;
}
