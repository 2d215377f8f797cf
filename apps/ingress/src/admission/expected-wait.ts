import { priorities } from '@millrace/shared/domain/request';
import type { QueueStanding } from '@millrace/shared/domain/request';
import type { QueueStats } from '@millrace/shared/domain/queue-stats';

/** The queue as the one who admits sees it: measured a fraction of a second ago. */
export type Load = Pick<QueueStats, 'classes' | 'front' | 'bytes' | 'skipped'> & {
  shards: number;
  /** Jobs of the whole fleet that start per second while others wait; undefined: not known. */
  rate: number | undefined;
  /** The same while models are skipped: what their targets let through, mostly. */
  limitedRate: number | undefined;
  /** A key's share within its class. */
  weightOf(key: string): number;
};

export const countWaiting = ({ classes, front }: Pick<Load, 'classes' | 'front'>): number =>
  priorities.reduce((sum, priority) => sum + classes[priority].waiting, front);

/** Waiting jobs of one key, over all classes; as good as the lags are. */
export function countOwn({ classes, weightOf, shards }: Load, key: string): number {
  return priorities.reduce((sum, priority) => {
    const { waiting, lags } = classes[priority];
    return sum + Math.min(waiting, jobsUpTo(lags.get(key), Infinity, weightOf(key)) * shards);
  }, 0);
}

/**
 * How many jobs are taken before a new one of this standing: all of the classes before its own, and of
 * its own class of each key those up to the place that it gets itself. The small share of the classes
 * behind is not counted.
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
  const place = own === undefined ? 0 : own + 1 / weight;
  let inClass = 0;
  for (const [other, lag] of lags) inClass += jobsUpTo(lag, place, load.weightOf(other));
  return ahead + Math.min(waiting, inClass * load.shards);
}

/** Milliseconds until so many jobs were taken; undefined where the rate is not known. */
export function waitMs({ rate }: Pick<Load, 'rate'>, jobs: number): number | undefined {
  if (jobs <= 0) return 0;
  return rate === undefined ? undefined : Math.round((jobs / rate) * 1000);
}

/** Jobs of one key from the head of its class up to a place; its last one stands at `lag`. */
const jobsUpTo = (lag: number | undefined, place: number, weight: number): number =>
  lag === undefined ? 0 : Math.floor(Math.min(lag, place) * weight + 1e-9) + 1;
