/*
 * A request that kills or blocks every worker that takes it would take the whole fleet down, one
 * worker after the other, if it was moved on like any other. But most jobs of a dead worker are
 * innocent, and live through any number of such deaths. Who is to blame follows from what each of them
 * was doing: docs/decisions/2026-11-30-poison-jobs.md.
 */

/** A job that a dead worker held, as Redis knows it. */
export type AffectedJob = {
  id: string;
  /**
   * Milliseconds between the seal of its log for this worker and the worker's last sign of life, by
   * Redis' clock; undefined where there is no such seal, and so the worker has not read the request.
   */
  servedMs: number | undefined;
  /**
   * Its run has written something. Otherwise Redis has sealed the log for a worker that may have died
   * before it read the answer, or while it read the request.
   */
  hasBegun: boolean;
  /** A part of its answer was shown, by this run or an earlier one. */
  hasShown: boolean;
  /** Deaths so far in which it was one of several suspects, or was not known to have begun. */
  suspected: number;
  /** Deaths so far in which it was the only one. */
  blamed: number;
};

/**
 * What becomes of it. `go_on`: to the front of the queue. All others go behind those that wait in their
 * class: `suspected` as any other job, `isolated` and `blamed` to a worker that has no other such job.
 * `poisoned`: it fails.
 */
export type Fate = 'go_on' | 'suspected' | 'isolated' | 'blamed' | 'poisoned';

/**
 * Milliseconds of its worker's life after which a job is no suspect any more: what reads a request or
 * the first part of an answer does so at once, and a worker that is killed is rarely that young in all
 * of its jobs.
 */
export const suspectMs = 2000;

/** Deaths with one suspect only, after which that one fails. */
const maxBlamed = 2;

/**
 * More of them while workers die without it: one for each death of the last minute that has no culprit,
 * up to so many. Where workers are killed at random, a job can be the only suspect by chance.
 */
const maxAllowance = 3;

export type Death = {
  /** Its process ended, or its event loop stood still. */
  cause: 'gone' | 'hung';
  /** Other workers that died in the last minute, with no culprit found. */
  unexplained: number;
};

/** The fate of every job of one dead worker, in the order of the jobs. Pure. */
export function judgeDeath(jobs: readonly AffectedJob[], death: Death): Fate[] {
  const suspects = jobs.filter((one) => isSuspect(one, death));
  const known = suspects.filter(({ suspected, blamed }) => suspected + blamed > 0);
  const likely = known.length > 0 ? known : suspects;
  const fateOf = (one: AffectedJob): Fate => {
    if (likely.length === 1) return fateOfOne(one, death);
    return known.length > 0 ? 'isolated' : fateOfFresh(one, death);
  };
  return jobs.map((one) => (likely.includes(one) ? fateOf(one) : 'go_on'));
}

function isSuspect({ servedMs, hasBegun, hasShown }: AffectedJob, { cause }: Death): boolean {
  if (servedMs === undefined || hasShown || servedMs >= suspectMs) return false;
  // A process that had ended read no answer. The last beat of one that hung is older than what it did last.
  return hasBegun || cause === 'hung' || servedMs >= 0;
}

/** An isolated job is sealed by its own run: the next death tells for certain whether that had begun. */
const fateOfOne = (one: AffectedJob, death: Death): Fate =>
  one.hasBegun ? blame(one, death) : 'isolated';

function blame(cause: AffectedJob, { unexplained }: Death): Fate {
  const allowance = Math.min(maxAllowance, Math.max(0, unexplained - cause.suspected));
  return cause.blamed + 1 >= maxBlamed + allowance ? 'poisoned' : 'blamed';
}

/**
 * One that hung was hardly killed from outside: there may be a culprit among them. But answers that bring many jobs
 * can have been unread when it stopped, and those are not kept apart for that.
 */
const fateOfFresh = ({ hasBegun }: AffectedJob, { cause }: Death): Fate =>
  cause === 'hung' && hasBegun ? 'isolated' : 'suspected';
