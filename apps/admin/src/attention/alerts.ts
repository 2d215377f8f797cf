import type { AttentionStore, KeptCondition } from '@millrace/shared/store/attention/port';
import { idOf } from './condition.ts';
import type { Condition } from './condition.ts';

/** A condition that began, or that is over. Times are milliseconds since the epoch. */
export type Alert = {
  readonly kind: 'fired' | 'resolved';
  readonly condition: KeptCondition['condition'];
  readonly firstAt: number;
  /** When it was seen first, which tells it from an earlier one with the same `firstAt`. */
  readonly firedAt: number;
  /** Of one that is over: when it was seen last. */
  readonly resolvedAt?: number;
};

/** What changes with a look: alerts to hand over, in this order, and what is kept then. */
export type Changes = {
  readonly alerts: readonly Alert[];
  readonly kept: ReadonlyMap<string, KeptCondition>;
  readonly removed: readonly string[];
};

/**
 * Milliseconds for which a condition has to be absent before it is over: a breaker that probes its target, or a worker that
 * restarts, is one alert, not several.
 */
export const calmMs = 15_000;

/** Compares what a look has found with what was known before it. */
export function changesOf(
  before: ReadonlyMap<string, KeptCondition>,
  found: readonly Condition[],
  now: number,
): Changes {
  const alerts: Alert[] = [];
  const kept = new Map<string, KeptCondition>();
  const removed: string[] = [];
  for (const { sinceAt, ...condition } of found) {
    const id = idOf(condition);
    const known = before.get(id);
    const firstAt = known?.firstAt ?? Math.min(sinceAt ?? now, now);
    const firedAt = known ? firedAtOf(known) : now;
    if (!known?.isAnnounced) alerts.push({ kind: 'fired', condition, firstAt, firedAt });
    kept.set(id, { firstAt, firedAt, seenAt: now, isAnnounced: true, condition });
  }
  for (const [id, known] of before) {
    if (kept.has(id) || now - known.seenAt < calmMs) continue;
    const { condition, firstAt, seenAt } = known;
    if (known.isAnnounced) {
      const firedAt = firedAtOf(known);
      alerts.push({ kind: 'resolved', condition, firstAt, firedAt, resolvedAt: seenAt });
    }
    removed.push(id);
  }
  return { alerts, kept, removed };
}

/** A record of an earlier version has one time only. */
const firedAtOf = ({ firedAt, firstAt }: KeptCondition): number => firedAt ?? firstAt;

/**
 * Keeps the changes of a look. A process that is killed in between leaves a state from which the next one hands over the same
 * alerts, under the same ids.
 */
export async function keepChanges(
  store: Pick<AttentionStore, 'write'>,
  { alerts, kept, removed }: Changes,
  announce: (alert: Alert) => Promise<void>,
): Promise<void> {
  const fired = new Set(
    alerts.filter(({ kind }) => kind === 'fired').map(({ condition }) => idOf(condition)),
  );
  const asBefore = (id: string, one: KeptCondition) =>
    [id, fired.has(id) ? { ...one, isAnnounced: false } : one] as const;
  // The time of a new condition is part of its alert's id, so it is kept first.
  await store.write(new Map([...kept].map(([id, one]) => asBefore(id, one))), []);
  if (alerts.length === 0 && removed.length === 0) return;
  for (const alert of alerts) await announce(alert);
  await store.write(new Map([...kept].filter(([id]) => fired.has(id))), removed);
}
