import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { parseDuration } from '@millrace/shared/config';
import { highestCapUsd, parseUsd } from '@millrace/shared/cost/usd';
import { continuations, priorities } from '@millrace/shared/domain/request';
import type { Continuation, Priority } from '@millrace/shared/domain/request';
import { readIdempotency } from '../exchange/idempotency.ts';
import type { Refused } from '../errors.ts';
import type { Idempotency } from '../exchange/idempotency.ts';
import { apiError, errorOf } from '../api-error.ts';
import { disconnectModes } from './request-headers.ts';

/** `x-millrace-on-disconnect`: whether the request is cancelled when its client leaves. */
export function readOnDisconnect(headers: IncomingHttpHeaders): (typeof disconnectModes)[number] {
  const value = headers['x-millrace-on-disconnect'] ?? 'cancel';
  const mode = disconnectModes.find((one) => one === value);
  if (mode) return mode;
  throw apiError('invalid_value', {
    expected: "'cancel' or 'keep'",
    param: 'x-millrace-on-disconnect',
  });
}

/** `x-millrace-event-ids`: whether a plain stream names the entry of each event. */
export function readEventIds(headers: IncomingHttpHeaders): boolean | undefined {
  const value = headers['x-millrace-event-ids'];
  if (value === undefined) return undefined;
  if (value === 'on' || value === 'off') return value === 'on';
  throw apiError('invalid_value', {
    expected: "'on' or 'off'",
    param: 'x-millrace-event-ids',
  });
}

/** Reads a priority: `x-millrace-priority`, or a field. Throws an ApiError on any other value. */
export function readPriority(value: unknown, param = 'x-millrace-priority'): Priority | undefined {
  if (value === undefined || value === null) return undefined;
  const priority = priorities.find((one) => one === value);
  if (priority) return priority;
  throw apiError('invalid_value', { param, expected: "'high', 'normal' or 'low'" });
}

/**
 * `x-millrace-continuation`: what may be done after a fault in the middle of an answer; without it the
 * model's setting applies.
 */
export function readContinuation(headers: IncomingHttpHeaders) {
  const value = headers['x-millrace-continuation'];
  return continuationOf(value, 'x-millrace-continuation');
}

/** `param`: the name of the header or field, for the error. */
export function continuationOf(value: unknown, param: string): Continuation | undefined {
  if (value === undefined || value === null) return undefined;
  const known = continuations.find((one) => one === value);
  if (known) return known;
  const names = continuations.map((one) => `'${one}'`).join(', ');
  throw apiError('invalid_value', { param, expected: `one of ${names}` });
}

/**
 * Reads a cap on the cost, in USD: `x-millrace-max-cost`, or a field. In billionths of a USD. Throws an ApiError on any
 * other value.
 */
export function readMaxCost(value: unknown, param = 'x-millrace-max-cost'): number | undefined {
  if (value === undefined || value === null) return undefined;
  const cost = parseUsd(value);
  if (cost !== undefined) return cost;
  throw apiError('invalid_value', {
    param,
    expected: `an amount in USD from 0 to ${highestCapUsd}, such as '0.05'`,
  });
}

/**
 * Reads `Idempotency-Key`. Throws an ApiError on an invalid key, and on two of them: Node would join them to
 * a key that the client has not sent.
 */
export function readIdempotencyKey(
  request: Pick<IncomingMessage, 'headers' | 'headersDistinct'>,
  asked: { route: string; text: string },
): Idempotency | undefined {
  if (request.headers['idempotency-key'] === undefined) return undefined;
  const [key, ...others] = request.headersDistinct['idempotency-key'] ?? [];
  return checkIdempotency(readIdempotency(others.length === 0 ? decodeHeader(key) : null, asked));
}

/** Throws the ApiError of a refusal. */
export function checkIdempotency(
  verdict: Idempotency | Refused | undefined,
): Idempotency | undefined {
  if (verdict?.kind === 'refused') throw errorOf(verdict);
  return verdict;
}

/** Node decodes headers as Latin-1; null if the bytes are no valid UTF-8. */
function decodeHeader(value = ''): string | null {
  const bytes = Buffer.from(value, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : null;
}

/** The latest time that RFC 3339 can express; a duration may not go beyond it. */
const latestDeadline = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * A deadline as a duration from now (`30s`) or an RFC 3339 time; in milliseconds since the epoch. Throws an
 * ApiError if it is neither, has passed, or is after the year 9999.
 */
export function readDeadline(value: unknown, now: number, param = 'x-millrace-deadline') {
  if (value === undefined || value === null) return undefined;
  const text = typeof value === 'string' ? value : '';
  const duration = parseDuration(text);
  const at = duration === undefined ? parseTime(text) : now + duration;
  if (at === undefined) {
    throw apiError('invalid_value', {
      param,
      expected: "a duration such as '30s' or an RFC 3339 time such as '2030-01-31T12:00:00Z'",
    });
  }
  if (at <= now) throw apiError('deadline_passed', { param });
  // Also catches a number of three hundred digits, which is Infinity.
  if (at > latestDeadline)
    throw apiError('invalid_request', {
      message: `Invalid '${param}': it lies beyond the year 9999.`,
      param,
    });
  return at;
}

const rfc3339 = /^(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

function parseTime(text: string): number | undefined {
  const day = rfc3339.exec(text)?.[1];
  // Date.parse accepts the 31st of February as the 3rd of March.
  if (day === undefined || !isDay(day)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}

function isDay(day: string): boolean {
  const at = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(day);
}
