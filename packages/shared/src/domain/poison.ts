/*
 * A request that kills or blocks every worker that takes it would take the whole fleet down, one worker after the
 * other, if the reaper moved it on like any other. But most jobs of a dead worker did not cause its death, and must
 * survive any number of such deaths. What each job was doing shows which one is suspected:
 * docs/decisions/2026-11-30-poisoned-requests.md.
 */

/** A job that a dead worker held. */
export type AffectedJob = {
  id: string;
  /**
   * Milliseconds between the seal of its log for this worker and the worker's last sign of life, by Redis' clock;
   * undefined without such a seal: the worker has not read the request.
   */
  servedMs: number | undefined;
  /**
   * Its run has written something. Otherwise the worker may have died before it read the reply that brought the job,
   * or while it read the request.
   */
  hasBegun: boolean;
  /** A part of its answer was delivered, by this run or an earlier one. */
  hasShown: boolean;
  /** Earlier deaths in which it was one of several suspects, or was not known to have begun. */
  suspected: number;
  /** Earlier deaths in which it was the only suspect. */
  blamed: number;
};

/**
 * What the reaper does with the job. `go_on`: it goes to the front of the queue. All others go behind those that wait in
 * their class: `suspected` as any other job, `isolated` and `blamed` to a worker that runs no other such job.
 * `poisoned`: it fails.
 */
export type Fate = 'go_on' | 'suspected' | 'isolated' | 'blamed' | 'poisoned';

/**
 * Milliseconds that a worker lives with a job before the job is no longer a suspect: a worker reads a request and the
 * first part of an answer at once, and the jobs of a worker that is killed from outside are rarely all that young.
 */
export const suspectMs = 2000;

/** Deaths with a job as the only suspect, after which it fails. */
const maxBlamed = 2;

/**
 * Most further deaths that are allowed while other workers die too: one for each death of the last minute without a
 * known cause. If workers are killed at random, a job can be the only suspect by chance.
 */
const maxAllowance = 3;

export type Death = {
  /** Its process ended, or its event loop was blocked. */
  cause: 'gone' | 'hung';
  /** Other workers that died in the last minute without a known cause. */
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
  // A process that had ended read no reply. The last beat of a hung worker is older than its last action.
  return hasBegun || cause === 'hung' || servedMs >= 0;
}

/** The run of an isolated job seals the log itself: the next death shows for certain whether the run had begun. */
const fateOfOne = (one: AffectedJob, death: Death): Fate =>
  one.hasBegun ? blame(one, death) : 'isolated';

function blame(cause: AffectedJob, { unexplained }: Death): Fate {
  const allowance = Math.min(maxAllowance, Math.max(0, unexplained - cause.suspected));
  return cause.blamed + 1 >= maxBlamed + allowance ? 'poisoned' : 'blamed';
}

/**
 * A worker that hung was hardly stopped from outside: one of its jobs may be the cause. But the worker may not have read
 * the reply that brought some of them, and those are not isolated.
 */
const fateOfFresh = ({ hasBegun }: AffectedJob, { cause }: Death): Fate =>
  cause === 'hung' && hasBegun ? 'isolated' : 'suspected';
