import { Job } from 'bullmq';
import type { JobsOptions, MinimalQueue } from 'bullmq';
import type { JobData } from '../../domain/request.ts';
import type { Sealed } from '../../domain/seal.ts';

/** A job that this worker holds, from its fetch to its end. */
export type TakenJob = {
  id: string;
  /** The name of its model, or `suspectName`. */
  name: string;
  data: JobData;
  /** How often it was activated, this time included (BullMQ's `attemptsStarted`). */
  number: number;
  /** The token of its lock. */
  token: string;
  /** BullMQ's options of the job. */
  options(): JobsOptions;
  /** The reason for which BullMQ makes the job fail. */
  deferredFailure?: string | undefined;
  /** The count of jobs taken does not include it yet. */
  uncounted?: boolean | undefined;
  /** If absent, the run has to seal the log itself. */
  sealed?: Sealed | undefined;
};

/** The job as BullMQ's methods need it to end it. */
export const toBullJob = (
  queue: MinimalQueue,
  { id, name, options }: Pick<TakenJob, 'id' | 'name' | 'options'>,
): Job => new Job(queue, name, undefined, options(), id);
