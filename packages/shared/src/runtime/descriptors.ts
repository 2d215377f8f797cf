import { readdirSync, readFileSync } from 'node:fs';

/*
 * File descriptors: every connection takes one. A process without a free one can neither accept nor
 * connect, nor read /proc, so each role keeps its connections below the system's limit.
 */

export type Descriptors = {
  /** The system's limit for this process (`ulimit -n`); Infinity if there is none, or if it is unknown. */
  limit: number;
  /** Open at this moment. */
  open: number;
};

/** Reserve for short-lived descriptors: reopened Redis connections, name look-ups, files. */
const reserved = 64;
/** With a small limit the reserve is a quarter of it. */
const largestReserve = 1 / 4;

/**
 * Descriptors that connections may take, beside those that are open for other purposes now, and `later` ones
 * that the process will open and keep. Pure.
 */
export function connectionRoom({ limit, open }: Descriptors, later = 0): number {
  if (!Number.isFinite(limit)) return Infinity;
  const reserve = Math.min(reserved, Math.ceil(limit * largestReserve));
  return Math.max(1, limit - open - later - reserve);
}

/**
 * The share of that room for each of `pools` pools. The reserve also covers a connection that a pool opens
 * while it still closes another one. Pure.
 */
export function connectionShare(room: number, pools: number): number {
  return Number.isFinite(room) ? Math.max(1, Math.floor(room / Math.max(1, pools))) : Infinity;
}

/** Reads /proc on Linux; elsewhere the limit is unknown. Node has raised the soft limit to the hard one. */
export function readDescriptors(): Descriptors {
  try {
    const [, soft] =
      /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    const limit = soft === undefined || soft === 'unlimited' ? Infinity : Number(soft);
    return { limit, open: readdirSync('/proc/self/fd').length };
  } catch {
    return { limit: Infinity, open: 0 };
  }
}
