import { Job } from 'bullmq';
import type { JobsOptions, MinimalQueue } from 'bullmq';
import type { JobData } from '../../domain/request.ts';
import type { Sealed } from '../../domain/seal.ts';

/** A job that this worker holds, from its fetch to its end. */
export type TakenJob = {
  id: string;
  /** Its model's name, or that of suspects. */
  name: string;
  data: JobData;
  /** How often it was activated, with this time (BullMQ's `attemptsStarted`). */
  number: number;
  /** Of its lock. */
  token: string;
  /** As BullMQ keeps them. */
  options(): JobsOptions;
  /** BullMQ has it fail, for this reason. */
  deferredFailure?: string | undefined;
  /** It is not in the count of the jobs taken yet. */
  uncounted?: boolean | undefined;
  /** Absent where its run has to seal the log itself. */
  sealed?: Sealed | undefined;
};

/** As BullMQ's methods want it, with all that they need to end it well. */
export const bullJob = (
  queue: MinimalQueue,
  { id, name, options }: Pick<TakenJob, 'id' | 'name' | 'options'>,
): Job => new Job(queue, name, undefined, options(), id);
