import { queueUnavailable } from './http/errors.ts';

/** Milliseconds that Redis may take for what a client waits for. */
export const patienceMs = 5000;

/** Rejects with a 503 when the work takes longer; what it still comes to is nobody's business. */
export async function within<T>(work: Promise<T>, ms = patienceMs): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(queueUnavailable()), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}
