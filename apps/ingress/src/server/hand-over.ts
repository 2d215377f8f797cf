import type { Failed } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Caller, DetachOutcome } from '@millrace/shared/store/stream-log/port';
import { asFailed, draining } from '../errors.ts';
import type { Services } from '../services.ts';
import { within } from '../exchange/timeout.ts';

/*
 * What becomes of a request whose ingress stops before its end: the request runs on, its log stays, and
 * its readers go on at another ingress. Nothing ends a request that its ingress gave up but its own end
 * or a cancel.
 */

/** Milliseconds that Redis may take to be told; then its readers are sent away all the same. */
export const handOverMs = 1000;

/**
 * Gives the request up. `unknown`: Redis did not say so in time, and the request is as safe as after the
 * death of its ingress: its reader has to be back within `limits.ownerGrace`. Never rejects.
 */
export async function handOver(
  { submitter, keyLimits, metrics, onError }: Pick<Services, HandOverServices>,
  { id, attached }: Pick<RequestMeta, 'id' | 'attached'>,
  caller: Caller | undefined,
): Promise<DetachOutcome | 'unknown'> {
  metrics.handedOver();
  // Its place among its key's requests is kept by the worker that has it.
  keyLimits.readerLeft(id);
  if (!attached) return 'detached';
  try {
    return await withinHandOver(submitter.detach(id, caller));
  } catch (error) {
    onError(error);
    return 'unknown';
  }
}

type HandOverServices = 'submitter' | 'keyLimits' | 'metrics' | 'onError';

/** Rejects where the work takes longer than a drain can wait. */
export const withinHandOver = <T>(work: Promise<T>): Promise<T> => within(work, handOverMs);

/** The error that a plain reader of the request gets. */
export const movedFailure = (id: string): Failed => asFailed(draining(id));

/** The event that a native reader of the request gets: its cursor is good at every other ingress. */
export const movedEvent = (id: string) => ({
  event: 'moved',
  data: JSON.stringify({ reason: 'server_draining', events_url: `/v1/jobs/${id}/events` }),
});
