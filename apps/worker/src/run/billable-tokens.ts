import { tokensUsed } from '@millrace/shared/domain/tokens';
import { promptTokens } from '../continuation/continue-body.ts';
import { promptReport } from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import { unknownLast, visibleUsage } from './visible-usage.ts';

/** How a request ended, as far as its cost depends on it. */
export type Ending = 'completed' | 'failed' | 'ended from outside';

/**
 * The tokens that a finished request is charged to its key: those of the answer that its readers received.
 * Failed attempts, retries and hedges are not charged. Undefined if the count is unknown: then the estimate
 * stays.
 */
export function billableTokens(ending: Ending, history: History, body: string): number | undefined {
  if (ending === 'completed' || history.usage !== undefined) return tokensUsed(history.usage);
  const wasDelivered = history.delivered.chars > 0;
  // Providers charge nothing for an error, but do charge for an answer that was cancelled.
  const wasCharged = wasDelivered || (ending !== 'failed' && history.attempts.length > 0);
  if (!wasCharged) return 0;
  const usage = visibleUsage({
    prompt: () => promptTokens(body),
    promptReport: promptReport(history),
    deliveredBefore: 0,
    deliveredByLast: history.delivered.tokens,
    last: unknownLast,
  });
  return tokensUsed(usage);
}
