import { probeRedis, RedisRefused, RedisUnreachable } from '@millrace/shared/store/redis';
import { answer } from './short-lived-answer.ts';
import type { ProbeAnswer } from './shared-redis.ts';

/* A short-lived program: checks whether the Redis at REDIS_URL can be used. */

/** Milliseconds in which a shared Redis has to answer. */
const timeoutMs = 5000;

async function probe(url: string): Promise<ProbeAnswer> {
  try {
    const { warnings } = await probeRedis(url, { timeoutMs });
    return { warnings };
  } catch (error) {
    if (error instanceof RedisRefused || error instanceof RedisUnreachable) {
      return { problem: error.message };
    }
    throw error;
  }
}

answer(await probe(process.env['REDIS_URL'] ?? ''));
