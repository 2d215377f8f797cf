import { StoreSilent } from '@millrace/shared/store/outage';
import { withTimeout } from '@millrace/shared/runtime/timeout';

/** Milliseconds in which Redis has to answer while a client waits. */
export const patienceMs = 5000;

/** Rejects with `StoreSilent` if the work takes longer; ignores the work's later result. */
export const within = <T>(work: Promise<T>, ms = patienceMs): Promise<T> =>
  withTimeout(work, ms, () => new StoreSilent('Redis did not answer in time'));
