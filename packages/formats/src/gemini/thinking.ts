import { isJsonObject } from '@millrace/shared/domain/json';
import { RefusedError } from '../refused.ts';
import { levels } from './models.ts';
import type { Level, ModelTraits } from './models.ts';

/** The token budgets of Google's own OpenAI-compatible API. */
const budgets: Readonly<Record<Level, number>> = {
  minimal: 1024,
  low: 1024,
  medium: 8192,
  high: 24_576,
};

/**
 * `thinkingConfig` for `reasoning_effort`; undefined if the request has none, or the model does not think.
 *
 *   reasoning_effort   3 and newer                2.5
 *   none               the lowest level           off; Pro: 128 tokens
 *   minimal            the lowest level           1024 tokens
 *   low                low                        1024 tokens
 *   medium             medium; 3 Pro: high        8192 tokens
 *   high, xhigh, max   high                       24576 tokens
 *
 * A budget is at most half of the answer's tokens, which it is a part of. The caller's own `thinkingConfig`
 * takes precedence.
 */
export function translateThinking(
  request: Readonly<Record<string, unknown>>,
  own: unknown,
  traits: ModelTraits,
  maxTokens: number | undefined,
): Record<string, unknown> | undefined {
  if (isJsonObject(own)) return own;
  const asked = request['reasoning_effort'] ?? undefined;
  if (asked === undefined) return undefined;
  const level = levelOf(asked);
  if (traits.thinking === 'none') return undefined;
  // Without `includeThoughts`, thinking is a long silence for the reader.
  const includeThoughts = asked !== 'none';
  if (traits.thinking === 'level') {
    return { thinkingLevel: nearest(level, traits.levels), includeThoughts };
  }
  if (asked === 'none') {
    // Flash-Lite has a least budget, too, but can be turned off.
    return { thinkingBudget: traits.minBudget > 128 ? 0 : traits.minBudget };
  }
  const most = maxTokens === undefined ? Infinity : Math.floor(maxTokens / 2);
  const thinkingBudget = Math.max(traits.minBudget, Math.min(budgets[level], most));
  return { thinkingBudget, includeThoughts };
}

function levelOf(asked: unknown): Level {
  if (asked === 'none') return 'minimal';
  if (asked === 'xhigh' || asked === 'max') return 'high';
  const level = levels.find((known) => known === asked);
  if (level) return level;
  throw new RefusedError('reasoning_effort', `There is no effort ${JSON.stringify(asked)}.`);
}

/** The same level, or the next one above it. */
const nearest = (level: Level, known: readonly Level[]): Level =>
  known.find((one) => levels.indexOf(one) >= levels.indexOf(level)) ?? level;
