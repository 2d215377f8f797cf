import { withTimeout } from '@millrace/shared/runtime/timeout';
import { passesByItself } from '@millrace/shared/store/redis-failure';
import { AdminError } from './admin-error.ts';

/** Milliseconds that an operator waits for each answer of Redis. */
const answerMs = 3000;

/** How the answer says that Redis is away, where the usual words say too little. */
export type RedisAway = { code?: string; message?: string };

/** Rejects with a 503 if Redis does not answer in time. */
export async function askRedis<T>(
  { isReady, onError }: { isReady(): boolean; onError(error: unknown): void },
  question: () => Promise<T>,
  away: RedisAway = {},
): Promise<T> {
  const unavailable = () => unavailableAs(away);
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

const unavailableAs = ({
  code = 'redis_unavailable',
  message = 'Redis does not answer; try again.',
}: RedisAway): AdminError => new AdminError(503, code, message);
