import type { RedisFacts } from '@millrace/shared/store/redis';
import { runShortLived } from './short-lived.ts';
import { StartFailed } from './supervise.ts';

/** The result of the probe: the warnings of a usable Redis, or why it is not usable. */
export type ProbeAnswer = Pick<RedisFacts, 'warnings'> | { readonly problem: string };

/** Checks that a usable Redis answers at a URL, and returns its warnings. Throws StartFailed. */
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
