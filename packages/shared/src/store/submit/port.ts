import type { JobData, RequestMeta, QueueStanding } from '../../domain/request.ts';
import type { Once } from '../stream-log/port.ts';

/**
 * Creates a request: its meta, its body, its first reader, and its job with its position in the queue. All or
 * nothing, in one step, so that no request is without a job and no job without a request. If it is sent again
 * after its reply was lost, it finds the existing request and changes nothing.
 *
 * `isWanted` is called before a second attempt that this call makes by itself: a command that the caller has
 * sent after the first one (the end of the request) must not be overtaken.
 */
export type Submit = (request: NewRequest, isWanted?: () => boolean) => Promise<SubmitOutcome>;

export type NewRequest = {
  meta: RequestMeta;
  body: string;
  /** The inbox of the first reader, which gets the answer from its first line on. */
  inbox: string | undefined;
  job: QueuedJob;
  /** The request is created only if its Idempotency-Key does not belong to another request. */
  once?: Once | undefined;
};

/** Its standing is required, because no new request goes before all others. */
export type QueuedJob = JobData & { standing: QueueStanding };

export type SubmitOutcome =
  /** `isWaiting`: its job waits in the queue; false: a worker has it, or the call was repeated and it is not known. */
  | { kind: 'created'; isWaiting: boolean }
  /** The key belongs to this request, and the caller is one of its callers from now on. */
  | { kind: 'joined'; id: string }
  /** The key belongs to a request with another fingerprint. */
  | { kind: 'conflict' };
