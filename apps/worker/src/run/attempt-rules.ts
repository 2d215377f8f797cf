import type { Fault } from '@millrace/shared/domain/fault';

/* How an attempt interprets a provider's silence and the faults of a call. Pure. */

export type AttemptTimeouts = {
  /** To the first visible chunk; streaming only. */
  firstTokenTimeoutMs: number;
  /** Between visible chunks; streaming only. */
  idleTimeoutMs: number;
};

/** Milliseconds for usage and `[DONE]` after the last finish_reason; then the answer counts as whole. */
const finishGraceMs = 1000;

export type Progress = {
  /** The first visible chunk has come. */
  hasBegun: boolean;
  /** Every choice has its finish_reason. */
  isFinished: boolean;
};

/** Milliseconds of silence that are allowed now. */
export function allowedSilenceMs(
  { firstTokenTimeoutMs, idleTimeoutMs }: AttemptTimeouts,
  { hasBegun, isFinished }: Progress,
): number {
  if (isFinished) return Math.min(finishGraceMs, idleTimeoutMs);
  return hasBegun ? idleTimeoutMs : firstTokenTimeoutMs;
}

/**
 * The consequence of a silence that was longer than allowed: keep waiting, end the answer, report a late
 * first token, or fail.
 */
export function afterSilence({
  wasLate,
  isFinished,
  hasBegun,
  mayWait,
}: Progress & {
  /** This process was blocked: data from the provider may wait in the socket, which is read after the timers. */
  wasLate: boolean;
  /** A late first token is no fault. */
  mayWait: boolean;
}): 'wait' | 'end' | 'slow' | Fault {
  if (wasLate) return 'wait';
  if (isFinished) return 'end';
  if (hasBegun) return idle;
  return mayWait ? 'slow' : noFirstToken;
}

const noFirstToken: Fault = {
  code: 'upstream_first_token_timeout',
  message: 'The provider sent no first token in time.',
};

const idle: Fault = {
  code: 'upstream_idle_timeout',
  message: 'The provider fell silent in the middle of its answer.',
};

/**
 * Adjusts the fault of an attempt. If the target began to answer and then rejects the request, that says
 * nothing about the request. If another target accepted the request, the rejection only means that this
 * target cannot be asked this way. `namedModel`: the model as the client named it, if the client chose the provider's model with it:
 * then it is not the operator who asked for a model that the provider does not have.
 */
export function faultOfAttempt(
  fault: Fault,
  {
    hasBegun,
    wasAccepted,
    namedModel,
  }: { hasBegun: boolean; wasAccepted: boolean; namedModel?: string | undefined },
): Fault {
  // A 404 without an error object may come from a wrong base URL.
  const isUnknown = fault.code === 'upstream_model_not_found' && fault.error !== undefined;
  if (isUnknown && namedModel !== undefined && !wasAccepted) return noSuchModel(namedModel, fault);
  if (fault.code !== 'upstream_rejected') return fault;
  if (hasBegun) return { ...fault, code: 'upstream_server_error' };
  return wasAccepted ? { ...fault, code: 'target_unsuited' } : fault;
}

/** Without the provider's words, which may name the operator's account. */
function noSuchModel(model: string, { detail }: Fault): Fault {
  const message = `The model '${model}' does not exist or you do not have access to it.`;
  const code = 'model_not_found';
  const error = { message, type: 'invalid_request_error', param: 'model', code };
  return { code, message, error, ...(detail !== undefined && { detail }) };
}
