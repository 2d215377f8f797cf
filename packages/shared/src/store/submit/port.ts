import type { JobData, RequestMeta, QueueStanding } from '../../domain/request.ts';
import type { Once } from '../stream-log/port.ts';

/**
 * Makes a request: what it is, its body, its first reader, and its job with its place in the queue. All of
 * it or nothing, in one step, so that no request is without a job and no job without a request. Sent again
 * after its answer was lost it finds what it has made, and changes nothing.
 *
 * `isWanted` is asked before a second try that this call makes by itself: what the caller has sent behind the
 * first one (the end of the request) must not be overtaken by it.
 */
export type Submit = (request: NewRequest, isWanted?: () => boolean) => Promise<SubmitOutcome>;

export type NewRequest = {
  meta: RequestMeta;
  body: string;
  /** Of the first reader, which gets the answer from its first line on. */
  inbox: string | undefined;
  job: QueuedJob;
  /** It is made only if its Idempotency-Key does not stand for another request. */
  once?: Once | undefined;
};

/** Its standing says where it waits: no request goes before all others. */
export type QueuedJob = JobData & { standing: QueueStanding };

export type SubmitOutcome =
  | { kind: 'created' }
  /** The key stands for this request, and the caller is one of its callers from now on. */
  | { kind: 'joined'; id: string }
  /** The key stands for a request that was made with another fingerprint. */
  | { kind: 'conflict' };
