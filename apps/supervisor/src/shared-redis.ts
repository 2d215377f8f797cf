import type { RedisFacts } from '@millrace/shared/store/redis';
import { runShortLived } from './short-lived.ts';
import { StartFailed } from './supervise.ts';

/** What the probe says: the warnings of a Redis that can be used, or why it cannot be. */
export type ProbeAnswer = Pick<RedisFacts, 'warnings'> | { readonly problem: string };

/** Sees that a Redis that may be used answers at a URL; its warnings. Throws StartFailed. */
export async function probeSharedRedis(
  url: string,
  env: NodeJS.ProcessEnv,
): Promise<readonly string[]> {
  // A password must not be in a command line, which all users of the machine can read.
  const probeEnv = { ...env, REDIS_URL: url };
  const { answer } = await runShortLived<ProbeAnswer>('./probe-redis.ts', [], probeEnv);
  if (!answer) throw new StartFailed('the shared Redis could not be checked', 1);
  if ('problem' in answer) throw new StartFailed(answer.problem, 1);
  return answer.warnings;
}
