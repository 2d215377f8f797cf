import type { Target } from '@millrace/shared/domain/request';
import { configuredTarget } from '@millrace/shared/domain/model-names';
import type { ModelConfig } from '@millrace/shared/config';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { targetKey, targetOfKey } from '@millrace/shared/domain/target-key';
import type { WorkerReport } from '@millrace/shared/store/reports/port';
import type { TargetHold } from '@millrace/shared/store/target-holds/port';

/* What `GET /admin/upstreams` says of each target: the state that its workers report, and why. Times are seconds. */

export type TargetView = {
  /** `provider/model`. */
  target: string;
  provider: string;
  model: string;
  /** The aliases of the config that it serves. */
  aliases: string[];
  /** Of the workers that disagree, the worst; null: no worker has asked it yet. */
  state: string | null;
  /** Who opened it; null if it is closed. */
  opened_by: 'breaker' | 'operator' | null;
  /** Why it is not closed, in words. */
  reason: string | null;
  since: number | null;
  next_probe_at: number | null;
  last_fault: unknown;
  window: unknown;
  held: { by: string; at: number } | null;
};

/** Worst first. */
const states = ['open', 'half-open', 'recovering', 'closed'];

/** A target in a worker's report (apps/worker/src/upstream/health/port.ts), in the form of its public view. */
type Reported = Record<string, unknown> & { provider: string; model: string; state: string };

/** The targets that a worker's report has. A worker of another version may report anything. */
export function reportedTargets({ sections }: WorkerReport): Reported[] {
  return itemsOf(healthOf(sections)?.['targets']).filter(
    (one): one is Reported =>
      isJsonObject(one) &&
      [one['provider'], one['model'], one['state']].every((value) => typeof value === 'string'),
  );
}

/** Whether a worker knows that an operator has opened the target. */
export const reportsHeld = ({ sections }: WorkerReport, target: string): boolean =>
  itemsOf(healthOf(sections)?.['held']).includes(target);

function healthOf(sections: WorkerReport['sections']): Record<string, unknown> | undefined {
  const upstreams = sections['upstreams'];
  const health = isJsonObject(upstreams) ? upstreams['health'] : undefined;
  return isJsonObject(health) ? health : undefined;
}

export type TargetSources = {
  models: Readonly<Record<string, Pick<ModelConfig, 'targets'>>>;
  reports: readonly WorkerReport[];
  holds: ReadonlyMap<string, TargetHold>;
};

/** Each target of the config, and those that workers still know or an operator has opened, sorted by name. */
export function targetViews({ models, reports, holds }: TargetSources): TargetView[] {
  const worst = new Map<string, Reported>();
  for (const one of reports.flatMap(reportedTargets)) {
    const key = targetKey(one);
    const known = worst.get(key);
    const isWorse = !known || states.indexOf(one.state) < states.indexOf(known.state);
    if (isWorse) worst.set(key, one);
  }
  const targets = new Map<string, { provider: string; model: string; aliases: string[] }>();
  for (const [alias, { targets: own }] of Object.entries(models)) {
    for (const { provider, model } of own) {
      const key = targetKey({ provider, model });
      const known = targets.get(key);
      if (known) known.aliases.push(alias);
      else targets.set(key, { provider, model, aliases: [alias] });
    }
  }
  // Holds stand until an operator closes the target, also if the config has it no more.
  for (const key of [...worst.keys(), ...holds.keys()]) {
    if (targets.has(key)) continue;
    const target = targetOfKey(key);
    targets.set(key, { ...target, aliases: wildcardsOf(models, target) });
  }
  return [...targets]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, target]) => ({
      target: key,
      ...target,
      ...stateView(worst.get(key), holds.get(key)),
    }));
}

/** The aliases with a `*` that serve this target, which the config does not have. */
const wildcardsOf = (models: TargetSources['models'], target: Target): string[] =>
  Object.entries(models).flatMap(([alias, { targets }]) =>
    configuredTarget(targets, target) ? [alias] : [],
  );

/** A target that neither the config nor a worker has, and that no operator has opened. */
export const unknownTarget = (key: string): TargetView => ({
  target: key,
  ...targetOfKey(key),
  aliases: [],
  ...stateView(undefined, undefined),
});

function stateView(found: Reported | undefined, hold: TargetHold | undefined) {
  const state = found?.state ?? null;
  const since = found?.['since'];
  const window = found?.['window'] ?? null;
  const isClosed = state === null || state === 'closed';
  const fault = found?.['last_fault'] ?? null;
  const held = hold ? { by: hold.by, at: hold.at / 1000 } : null;
  return {
    state: held ? 'open' : state,
    opened_by: held ? ('operator' as const) : isClosed ? null : ('breaker' as const),
    reason: held ? `opened by ${held.by}` : isClosed ? null : reasonOf(window, fault),
    since: held?.at ?? (typeof since === 'number' ? since : null),
    next_probe_at: held ? null : ((found?.['next_probe_at'] as number | undefined) ?? null),
    last_fault: fault,
    window,
    held,
  };
}

function reasonOf(window: unknown, fault: unknown): string {
  const counted = isJsonObject(window) ? window : {};
  const last = isJsonObject(fault) ? fault : {};
  const numberOf = (name: string) => (typeof counted[name] === 'number' ? counted[name] : 0);
  const textOf = (name: string) => (typeof last[name] === 'string' ? last[name] : '');
  const [calls, errors] = [numberOf('calls'), numberOf('errors')];
  const reasons = [
    ...(calls > 0 ? [`${errors} of ${calls} calls failed lately`] : []),
    ...(textOf('code') === '' ? [] : [`the last fault: ${textOf('code')}: ${textOf('message')}`]),
  ];
  return reasons.join('; ') || 'its calls or its checks failed';
}
