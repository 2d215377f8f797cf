import { readdirSync, readFileSync } from 'node:fs';

/*
 * File descriptors: every connection is one. A process that has none left can neither accept nor
 * connect, nor read /proc, so each role keeps its connections below what the system allows.
 */

export type Descriptors = {
  /** What the system allows this process (`ulimit -n`); Infinity where there is no limit, or none is known. */
  limit: number;
  /** Open at this moment. */
  open: number;
};

/** Kept for what comes and goes: Redis connections that are opened anew, name look-ups, files. */
const reserved = 64;
/** Where the limit is small, a quarter of it has to do. */
const largestReserve = 1 / 4;

/**
 * Descriptors that connections may take, beside those that are open for other purposes now, and `later` ones
 * that the process will open for them and keep. Pure.
 */
export function connectionRoom({ limit, open }: Descriptors, later = 0): number {
  if (!Number.isFinite(limit)) return Infinity;
  const reserve = Math.min(reserved, Math.ceil(limit * largestReserve));
  return Math.max(1, limit - open - later - reserve);
}

/**
 * What each of so many pools may have of that room. The reserve is also for a connection that a pool opens
 * while another one still closes. Pure.
 */
export function connectionShare(room: number, pools: number): number {
  return Number.isFinite(room) ? Math.max(1, Math.floor(room / Math.max(1, pools))) : Infinity;
}

/** Linux tells in /proc; elsewhere the limit counts as unknown. Node has raised the soft limit to the hard one. */
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
