import { countOf, namesOf, pages, spanOf } from './condition.ts';
import type { Condition } from './condition.ts';
import type { FleetState } from './fleet-state.ts';
import { recentMs } from './fleet-state.ts';

/* Conditions of the work: the queue, the upstreams, the requests that failed. */

/** The oldest wait is critical beyond so many times `limits.queueWait`. */
const longFactor = 5;

export function queueConditions({ queue, shards, queueWaitMs, now }: FleetState): Condition[] {
  const found: Condition[] = [];
  const { pausedShards, oldestAt, waiting } = queue;
  if (pausedShards.length > 0) {
    const isAll = pausedShards.length >= shards;
    found.push({
      code: 'queue_paused',
      subject: '',
      severity: isAll ? 'critical' : 'warning',
      title: 'The queue is paused',
      detail: `An operator has paused ${isAll ? 'the queue' : `${pausedShards.length} of ${shards} shards of the queue`}: ${countOf(waiting, 'request')} ${waiting === 1 ? 'waits' : 'wait'}, and no worker takes them.`,
      link: pages.queue,
    });
  }
  const ageMs = oldestAt === undefined ? 0 : now - oldestAt;
  if (oldestAt !== undefined && ageMs > queueWaitMs) {
    found.push({
      code: 'queue_old',
      subject: '',
      severity: ageMs > longFactor * queueWaitMs ? 'critical' : 'warning',
      title: 'Requests wait long',
      detail: `The oldest of ${countOf(waiting, 'waiting request')} has waited ${spanOf(ageMs)}, longer than limits.queueWait (${spanOf(queueWaitMs)}).`,
      sinceAt: oldestAt + queueWaitMs,
      link: pages.queue,
    });
  }
  return found;
}

export function upstreamConditions({ targets }: FleetState): Condition[] {
  const found: Condition[] = [];
  const open = targets.filter(({ state }) => state === 'open');
  for (const { target, opened_by, reason, since } of open) {
    const isHeld = opened_by === 'operator';
    found.push({
      code: isHeld ? 'target_held' : 'target_open',
      subject: target,
      severity: isHeld ? 'info' : 'warning',
      title: isHeld ? `${target} is held open` : `${target} is open`,
      detail: isHeld
        ? `No request goes to ${target}: ${reason ?? 'an operator has opened it'}.`
        : `The breaker of ${target} is open: ${reason ?? 'its calls failed'}.`,
      sinceAt: since === null ? undefined : since * 1000,
      link: pages.upstreams,
    });
  }
  const isOpen = new Set(open.map(({ target }) => target));
  const byAlias = new Map<string, string[]>();
  for (const { target, aliases } of targets) {
    for (const alias of aliases) byAlias.set(alias, [...(byAlias.get(alias) ?? []), target]);
  }
  for (const [alias, own] of byAlias) {
    if (!own.every((target) => isOpen.has(target))) continue;
    found.push({
      code: 'model_unavailable',
      subject: alias,
      severity: 'critical',
      title: `No target serves ${alias}`,
      detail: `Every target of ${alias} is open (${namesOf(own)}): its requests wait or fail.`,
      link: pages.upstreams,
    });
  }
  return found;
}

export function poolConditions({ pools }: FleetState): Condition[] {
  const full = pools.filter(({ active, limit }) => limit > 0 && active >= limit);
  return [...Map.groupBy(full, ({ provider }) => provider)].map(([provider, own]) => {
    const waiting = own.reduce((sum, one) => sum + one.waiting, 0);
    return {
      code: 'pool_full',
      subject: provider,
      severity: 'warning',
      title: `The pool of ${provider} is at its limit`,
      detail: `All ${countOf(own[0]?.limit ?? 0, 'connection')} to ${provider} are in use in ${namesOf(own.map(({ worker }) => worker))}, and ${countOf(waiting, 'request')} ${waiting === 1 ? 'waits' : 'wait'} for one.`,
      link: pages.upstreams,
    };
  });
}

/** Fewer requests say little about a rate. */
const fewestEnded = 20;
const warnShare = 0.05;
const criticalShare = 0.25;

export function failureConditions({ recent }: FleetState): Condition[] {
  if (!recent || recent.ended < fewestEnded) return [];
  const share = recent.failed / recent.ended;
  if (share < warnShare) return [];
  const most =
    recent.mostFrequent === undefined ? '' : `, most of them with ${recent.mostFrequent}`;
  return [
    {
      code: 'failure_rate',
      subject: '',
      severity: share >= criticalShare ? 'critical' : 'warning',
      title: `${Math.round(share * 100)} % of the requests fail`,
      detail: `Of ${countOf(recent.ended, 'request')} of the last ${spanOf(recentMs)}, ${recent.failed} failed${most}.`,
      link: pages.requests,
    },
  ];
}
