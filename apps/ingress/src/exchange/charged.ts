import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Caller } from '@millrace/shared/store/stream-log/port';
import type { Charge } from '../admission/quota.ts';
import type { Services } from '../services.ts';
import type { Prepared } from './prepare.ts';
import type { ClientState, Sent } from './submit.ts';
import { toApiError } from '../errors.ts';

/* A request that its key was charged for, when it is sent and when its client leaves. */

/** Codes of refusals after which there is no such request. */
const unsent = new Set<string | null>(['queue_full', 'idempotency_key_reused']);

/**
 * As `submitter.send`. Where the answer is another request's, or there is none, and where nothing was sent
 * to Redis, the key has back what it was charged; where it is not known whether a worker has the request, its place alone.
 */
export async function sendCharged(
  { submitter, keyLimits }: Pick<Services, 'submitter' | 'keyLimits'>,
  prepared: Prepared,
  charge: Charge,
  client?: ClientState,
): Promise<Sent> {
  try {
    const sent = await submitter.send(prepared, client);
    if (sent.kind !== 'queued') charge.refund();
    return sent;
  } catch (error) {
    const isUnsent = prepared.meta.sentAt === undefined;
    if (isUnsent || unsent.has(toApiError(error).error.code)) charge.refund();
    else keyLimits.ended(prepared.meta);
    throw error;
  }
}

/** The client of a request left: it ends, and its key's place is free, unless other callers wait for it. */
export function clientLeft(
  { submitter, keyLimits, onError }: Pick<Services, 'submitter' | 'keyLimits' | 'onError'>,
  request: Pick<RequestMeta, 'id' | 'keyId'>,
  reason: string,
  caller: Caller | undefined,
): void {
  if (caller) keyLimits.readerLeft(request.id);
  else keyLimits.ended(request);
  submitter
    .leave(request.id, reason, caller)
    .then((left) => (caller && left === 'ended' ? keyLimits.ended(request) : undefined))
    .catch(onError);
}
