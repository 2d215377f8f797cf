import { limitsByTarget } from '@millrace/shared/domain/target-limits';
import type { LimitedModels } from '@millrace/shared/domain/target-limits';
import { priorities } from '@millrace/shared/domain/request';
import type { QueueStanding } from '@millrace/shared/domain/request';
import type { QueueStats } from '@millrace/shared/domain/queue-stats';
import { targetKey } from '@millrace/shared/domain/target-key';

/** The load of the queue, as measured up to 200 ms ago. */
export type Load = Pick<QueueStats, 'classes' | 'front' | 'bytes' | 'skipped'> & {
  shards: number;
  /** Jobs of the whole fleet that start per second while others wait; undefined while unknown. */
  rate: number | undefined;
  /** The same rate while workers skip models at their limits: it depends mostly on their targets' limits. */
  limitedRate: number | undefined;
  /** A key's share within its class. */
  weightOf(key: string): number;
};

export const countWaiting = ({ classes, front }: Pick<Load, 'classes' | 'front'>): number =>
  priorities.reduce((sum, priority) => sum + classes[priority].waiting, front);

/** Waiting jobs of one key over all classes, estimated from the lags. */
export function countOwn({ classes, weightOf, shards }: Load, key: string): number {
  return priorities.reduce((sum, priority) => {
    const { waiting, lags } = classes[priority];
    return sum + Math.min(waiting, jobsUpTo(lags.get(key), Infinity, weightOf(key)) * shards);
  }, 0);
}

/**
 * How many jobs workers take before a new one of this standing: all jobs of higher classes and, in its own
 * class, the jobs of each key up to its position. The small share of lower classes is ignored.
 */
export function jobsAhead(
  load: Load,
  { priority, key, weight }: Pick<QueueStanding, 'priority' | 'key' | 'weight'>,
): number {
  let ahead = load.front;
  for (const before of priorities.slice(0, priorities.indexOf(priority))) {
    ahead += load.classes[before].waiting;
  }
  const { waiting, lags } = load.classes[priority];
  if (waiting === 0) return ahead;
  const own = lags.get(key);
  const position = own === undefined ? 0 : own + 1 / weight;
  let inClass = 0;
  for (const [other, lag] of lags) inClass += jobsUpTo(lag, position, load.weightOf(other));
  return ahead + Math.min(waiting, inClass * load.shards);
}

/** Milliseconds until workers have taken this many jobs; undefined while the rate is unknown. */
export function waitMs({ rate }: Pick<Load, 'rate'>, jobs: number): number | undefined {
  if (jobs <= 0) return 0;
  return rate === undefined ? undefined : Math.round((jobs / rate) * 1000);
}

/**
 * Requests per second that the targets of a model allow by their configured limits; undefined if one of them has no limit of
 * requests. `models`: as they are at each call.
 */
export function createTargetRates(
  models: () => LimitedModels,
): (model: string) => number | undefined {
  let known: { of: LimitedModels; limits: ReturnType<typeof limitsByTarget> } | undefined;
  return (model) => {
    const now = models();
    if (known?.of !== now) known = { of: now, limits: limitsByTarget(now) };
    const targets = new Set((now[model]?.targets ?? []).map(targetKey));
    let perMinute = 0;
    for (const target of targets) {
      const limit = known.limits.get(target)?.requestsPerMinute;
      if (limit === undefined) return undefined;
      perMinute += limit;
    }
    return perMinute > 0 ? perMinute / 60 : undefined;
  };
}

/** Jobs of one key from the head of its class up to a position; its last one is at `lag`. */
const jobsUpTo = (lag: number | undefined, position: number, weight: number): number =>
  lag === undefined ? 0 : Math.floor(Math.min(lag, position) * weight + 1e-9) + 1;
