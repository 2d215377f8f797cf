/** Prefix of the failure reason of a job whose run threw; operators read it in Bull Board. */
const prefix = 'its run threw an error: ';

/** The error with which the queue fails a job whose run threw. */
export function runError(cause: unknown): Error {
  if (!(cause instanceof Error)) return new Error(prefix + String(cause));
  const error = new Error(prefix + cause.message, { cause });
  if (cause.stack !== undefined) error.stack = cause.stack;
  return error;
}

export const isRunError = (failedReason: string | null | undefined): boolean =>
  failedReason?.startsWith(prefix) === true;
