import type { Failed } from '@millrace/shared/domain/entry';
import { faultTable, faultToError } from '@millrace/shared/domain/fault';
import type { Fault } from '@millrace/shared/domain/fault';
import type { History } from './history.ts';
import { isEmpty } from './delivered.ts';

export type FailStep = {
  kind: 'fail';
  failed: Failed;
  /** Nothing was shown, and what failed last had no room: later it may. */
  lacksCapacity?: true;
};

type FailInput = {
  history: Pick<History, 'delivered'>;
  /** The last fault that tells why, where the last of all does not. */
  reason?: Fault | undefined;
};

export const interrupted: Fault = {
  code: 'upstream_failed_mid_stream',
  message: 'The answer broke off and could not be continued.',
};

const isSideFault = ({ code }: Fault): boolean =>
  code === 'target_unsuited' || code === 'no_continuation';

const partyOf = ({ code }: Fault) => faultTable[code].party;

/** The fault that tells why a request fails, of those so far and the last one. */
export function reasonAfter(reason: Fault | undefined, last: Fault): Fault | undefined {
  if (isSideFault(last)) return reason;
  // What is wrong with the request the client can mend; of the operator's fault it would learn nothing.
  const isClients = reason && partyOf(reason) === 'client' && partyOf(last) === 'operator';
  return isClients ? reason : last;
}

/** The clear end: the last real reason, under the code that says that a part was shown. */
export function failStep({ history, reason }: FailInput, last: Fault): FailStep {
  // That one target could not be asked in some way says nothing of why there is no answer; nor does what
  // it found wrong with a request that we made.
  const fault = reasonAfter(reason, last) ?? (isEmpty(history.delivered) ? last : interrupted);
  const { error, httpStatus } = faultToError(fault);
  // These say why the answer ends, wherever in it: the caller's own deadline, and our bound on its length.
  const isOwn = fault.code === 'deadline_exceeded' || fault.code === 'response_too_large';
  const code = isOwn || isEmpty(history.delivered) ? error.code : 'upstream_failed_mid_stream';
  const failed: Failed = { error: { ...error, code }, httpStatus };
  if (fault.retryAfterMs !== undefined) failed.retryAfterMs = fault.retryAfterMs;
  return { kind: 'fail', failed };
}
