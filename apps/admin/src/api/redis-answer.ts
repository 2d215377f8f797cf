import { withTimeout } from '@millrace/shared/runtime/timeout';
import { passesByItself } from '@millrace/shared/store/redis-failure';
import { AdminError } from './admin-error.ts';

/** Milliseconds that an operator waits for each answer of Redis. */
const answerMs = 3000;

/** Rejects with a 503 if Redis does not answer in time. */
export async function askRedis<T>(
  { isReady, onError }: { isReady(): boolean; onError(error: unknown): void },
  question: () => Promise<T>,
): Promise<T> {
  if (!isReady()) throw unavailable();
  try {
    return await withTimeout(question(), answerMs, unavailable);
  } catch (error) {
    if (error instanceof AdminError) throw error;
    if (!passesByItself(error)) throw error;
    onError(error);
    throw unavailable();
  }
}

const unavailable = (): AdminError =>
  new AdminError(503, 'redis_unavailable', 'Redis does not answer; try again.');
