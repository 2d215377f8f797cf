import { tokensUsed } from '@millrace/shared/domain/tokens';
import { estimateUsage } from './failover/continue-body.ts';
import type { History } from './failover/history.ts';

/** How a request ended, as far as its cost depends on it. */
export type Ending = 'completed' | 'failed' | 'ended from outside';

/**
 * The tokens that a finished request cost its key: those of the answer that its readers were told.
 * What failed attempts, retries and hedges cost beside it is our affair. Undefined when nobody can
 * say: then the estimate from before stays.
 */
export function tokensSpent(ending: Ending, history: History, body: string): number | undefined {
  if (ending === 'completed' || history.usage !== undefined) return tokensUsed(history.usage);
  const wasShown = history.shown.chars > 0;
  // Providers take nothing for an error; for an answer that was called off they do.
  const wasCharged = wasShown || (ending !== 'failed' && history.tries.length > 0);
  return wasCharged ? tokensUsed(estimateUsage(body, history.shown)) : 0;
}
