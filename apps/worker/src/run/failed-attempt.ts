import type { Fault } from '@millrace/shared/domain/fault';
import type { Attempt } from './attempt.ts';

/** An attempt that failed before it began. */
export const failedAttempt = (fault: Fault): Attempt => ({
  outcome: Promise.resolve({ kind: 'fault', fault }),
  firstTokenAt: undefined,
  heldBytes: 0,
  stop: () => {},
  pause: () => {},
  resume: () => {},
});

/** The fault for our own bugs; the cause is in the process's log. */
export const ourFault: Fault = {
  code: 'internal_error',
  message: 'Something broke inside the proxy while the request was answered.',
};
