/** BullMQ's codes for a job that is gone, has no lock, is not active, or has the lock of another. */
const notOurs = new Set<unknown>([-1, -2, -3, -6]);

/** The job is not the token's any more: whatever was to be done to it, somebody else does. */
export const isNotOurs = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && notOurs.has(error.code);
