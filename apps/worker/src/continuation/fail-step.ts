import type { Failed } from '@millrace/shared/domain/entry';
import { faultTable, faultToError } from '@millrace/shared/domain/fault';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import type { History } from './history.ts';
import { isEmpty } from './delivered.ts';

export type FailStep = {
  kind: 'fail';
  /** For logs: the code in `failed` may be the provider's own. */
  code: FaultCode;
  failed: Failed;
  /** Nothing was delivered, and the last fault was a lack of capacity: a later try may succeed. */
  lacksCapacity?: true;
};

type FailInput = {
  history: Pick<History, 'delivered'>;
  /** The last fault that explains the failure, if the very last one does not. */
  reason?: Fault | undefined;
};

export const interrupted: Fault = {
  code: 'upstream_failed_mid_stream',
  message: 'The answer broke off and could not be continued.',
};

const isSideFault = ({ code }: Fault): boolean =>
  code === 'target_unsuited' || code === 'no_continuation';

const partyOf = ({ code }: Fault) => faultTable[code].party;

/** The fault that explains why a request fails: the last one or an earlier one. */
export function reasonAfter(reason: Fault | undefined, last: Fault): Fault | undefined {
  if (isSideFault(last)) return reason;
  // The client can fix its request, but can do nothing about an operator's fault: a fault of the client's
  // takes precedence.
  const isClients = reason && partyOf(reason) === 'client' && partyOf(last) === 'operator';
  return isClients ? reason : last;
}

/** The step that fails the request with the last meaningful fault. If a part was delivered, the code says so. */
export function failStep({ history, reason }: FailInput, last: Fault): FailStep {
  // A target that could not be asked in some way does not explain why there is no answer, nor does a target
  // that rejects a request that this worker composed.
  const fault = reasonAfter(reason, last) ?? (isEmpty(history.delivered) ? last : interrupted);
  const { error, httpStatus } = faultToError(fault);
  // These two keep their code even in the middle of an answer: the caller's deadline, and our bound on the
  // answer's length.
  const isOwn = fault.code === 'deadline_exceeded' || fault.code === 'response_too_large';
  const isWhole = isOwn || isEmpty(history.delivered);
  const code = isWhole ? fault.code : 'upstream_failed_mid_stream';
  const failed: Failed = { error: isWhole ? error : { ...error, code }, httpStatus };
  if (fault.retryAfterMs !== undefined) failed.retryAfterMs = fault.retryAfterMs;
  return { kind: 'fail', code, failed };
}
