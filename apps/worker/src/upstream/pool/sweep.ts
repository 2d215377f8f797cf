import type { PoolConfig } from '@millrace/shared/config';
import type { CloseReason, Connection } from './connection.ts';

/** Milliseconds between two sweeps: the most by which idle connections close late. */
export const sweepIntervalMs = (idleTimeoutMs: number): number =>
  Math.max(10, Math.min(1000, idleTimeoutMs / 8));

/**
 * Decides which idle connections to close and which to keep warm. `free`: least recently used first, so that
 * these close first. A connection that is kept because the pool would have too few gets a request shortly
 * before its idle timeout.
 */
export function sweepIdle({
  free,
  size,
  config,
  now,
}: {
  free: readonly Connection[];
  /** All open ones. */
  size: number;
  config: PoolConfig;
  now: number;
}): { close: [Connection, CloseReason][]; ask: Connection[] } {
  const { idleTimeoutMs, lifetimeMs, warm } = config;
  const askAfterMs = idleTimeoutMs - 2 * sweepIntervalMs(idleTimeoutMs);
  const close: [Connection, CloseReason][] = [];
  const ask: Connection[] = [];
  let surplus = size - warm;
  for (const one of free) {
    if (one.active > 0) continue;
    const idleMs = now - one.idleSince;
    const isSurplus = surplus > 0;
    surplus -= 1;
    if (now - one.openedAt >= lifetimeMs) close.push([one, 'lifetime']);
    else if (isSurplus && idleMs >= idleTimeoutMs) close.push([one, 'idle']);
    else if (!isSurplus && idleMs >= askAfterMs) ask.push(one);
  }
  return { close, ask };
}
