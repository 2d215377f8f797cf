/** BullMQ's codes for a job that is gone, has no lock, is not active, or has the lock of another. */
const notOurs = new Set<unknown>([-1, -2, -3, -6]);

/** Whether BullMQ refused because the token no longer holds the job: another process handles it. */
export const isNotOurs = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && notOurs.has(error.code);
