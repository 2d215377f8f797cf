import { withTimeout as orReject } from '@millrace/shared/runtime/timeout';
import { apiError } from '../errors.ts';

/** Milliseconds that Redis may take for what a client waits for. */
export const patienceMs = 5000;

/** Rejects with a 503 when the work takes longer; what it still comes to is nobody's business. */
export const within = <T>(work: Promise<T>, ms = patienceMs): Promise<T> =>
  orReject(work, ms, () => Object.assign(apiError('queue_unavailable'), { waitedForStore: true }));
