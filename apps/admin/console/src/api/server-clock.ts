/*
 * The server's clock, as far as answers tell it: the browser's may be wrong by minutes. A `Date` header has whole seconds,
 * so one answer gives bounds of the difference, and more answers narrow them.
 */

export type Bounds = { low: number; high: number };

/** Milliseconds of a header's second, and of its way here. */
const secondMs = 1000;
const wayMs = 1000;

/** Bounds of server minus browser, in milliseconds; a header without a time changes nothing. */
export function boundsAfter(
  before: Bounds | undefined,
  header: string | null,
  now: number,
): Bounds | undefined {
  const at = header === null ? Number.NaN : Date.parse(header);
  if (Number.isNaN(at)) return before;
  const found = { low: at - now, high: at - now + secondMs + wayMs };
  if (!before) return found;
  const both = { low: Math.max(before.low, found.low), high: Math.min(before.high, found.high) };
  // One of the clocks was set.
  return both.low <= both.high ? both : found;
}

/** None while the clocks may be the same. */
export function offsetIn(bounds: Bounds | undefined): number {
  if (!bounds || (bounds.low <= 0 && bounds.high >= 0)) return 0;
  return Math.round((bounds.low + bounds.high) / 2);
}

let known: Bounds | undefined;

/** Takes an answer's `Date` header. */
export function noteDate(header: string | null): void {
  known = boundsAfter(known, header, Date.now());
}

/** Milliseconds since the epoch by the server's clock. */
export const serverNow = (): number => Date.now() + offsetIn(known);
