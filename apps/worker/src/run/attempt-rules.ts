import type { Fault } from '@millrace/shared/domain/fault';

/* What the silence of a provider and the faults of a call mean for an attempt. Pure. */

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
 * What follows a silence that was longer than allowed: the attempt waits on, its answer is at its end, its first token
 * is late, or it fails.
 */
export function afterSilence({
  wasLate,
  isFinished,
  hasBegun,
  mayWait,
}: Progress & {
  /** This process stood still: what the provider sent meanwhile waits in the socket, which is read after the timers. */
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
 * The fault of an attempt: a target that rejects a request which it began to answer says nothing about the request, and
 * one that rejects a request which another target accepted only cannot be asked this way.
 */
export function faultOfAttempt(
  fault: Fault,
  { hasBegun, wasAccepted }: { hasBegun: boolean; wasAccepted: boolean },
): Fault {
  if (fault.code !== 'upstream_rejected') return fault;
  if (hasBegun) return { ...fault, code: 'upstream_server_error' };
  return wasAccepted ? { ...fault, code: 'target_unsuited' } : fault;
}
