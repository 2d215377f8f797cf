import { isJsonObject } from '@millrace/shared/domain/json';
import { efforts } from './models.ts';
import type { Effort, ModelTraits } from './models.ts';
import { RefusedError } from '../refused.ts';

/**
 * The token budgets for `reasoning_effort` of a model that takes a budget. The lowest is above Anthropic's
 * minimum; beyond the greatest Anthropic recommends other ways than a single request.
 */
const budgets: Readonly<Record<Effort, number>> = {
  low: 2048,
  medium: 8192,
  high: 16_384,
  xhigh: 32_000,
  max: 32_000,
};
const minBudget = 1024;

export type ThinkingSituation = {
  traits: ModelTraits;
  maxTokens: number;
  /** A tool call is forced, or there is the beginning of an answer: both exclude thinking. */
  ruledOut: boolean;
  /** A budget requires the thoughts before the last calls in the conversation, and they are missing. */
  hasThoughtlessCalls: boolean;
};

export type Thinking = {
  /** `thinking`, if it has to be set. */
  members: Record<string, unknown>;
  /** `output_config.effort` */
  effort: string | undefined;
  /** Thinking is on, so the client's sampling options do not apply. */
  on: boolean;
};

/**
 *   reasoning_effort   4.6 and newer            older, from 3.7
 *   none               off, else effort low     nothing
 *   minimal, low       effort low               1024, 2048 tokens
 *   medium             effort medium            8192 tokens
 *   high               effort high              16384 tokens
 *   xhigh, max         the same, or the next    32000 tokens
 *                      below that it knows
 *
 * A budget is at most half of the answer's tokens. The caller's own `thinking` passes as it is.
 */
export function translateThinking(
  request: Record<string, unknown>,
  situation: ThinkingSituation,
): Thinking {
  const own = request['thinking'];
  if (isJsonObject(own)) {
    const on = own['type'] === 'enabled' || own['type'] === 'adaptive';
    return { members: { thinking: own }, effort: undefined, on };
  }
  const asked = request['reasoning_effort'] ?? undefined;
  if (asked === undefined) return silent;
  if (asked === 'none') return off(situation.traits);
  const effort = efforts.find((known) => known === (asked === 'minimal' ? 'low' : asked));
  if (!effort) {
    throw new RefusedError('reasoning_effort', `There is no effort ${JSON.stringify(asked)}.`);
  }
  const { thinking } = situation.traits;
  if (thinking === 'none') return silent;
  if (thinking === 'adaptive') return adaptive(effort, situation);
  return budget(asked === 'minimal' ? minBudget : budgets[effort], situation);
}

const silent: Thinking = { members: {}, effort: undefined, on: false };

function off({ thinkingOff }: ModelTraits): Thinking {
  if (thinkingOff === 'unasked') return silent;
  if (thinkingOff === 'never') return { ...silent, effort: 'low' };
  return { ...silent, members: { thinking: { type: thinkingOff } } };
}

function adaptive(effort: Effort, { traits, ruledOut }: ThinkingSituation): Thinking {
  const nearest = traits.efforts.findLast(
    (known) => efforts.indexOf(known) <= efforts.indexOf(effort),
  );
  if (ruledOut) return { ...silent, effort: nearest };
  // Newer models do not return their thoughts unless asked: that would be a long silence for the reader.
  const thinking = { type: 'adaptive', display: 'summarized' };
  return { members: { thinking }, effort: nearest, on: true };
}

function budget(
  wanted: number,
  { maxTokens, ruledOut, hasThoughtlessCalls }: ThinkingSituation,
): Thinking {
  const tokens = Math.min(wanted, Math.floor(maxTokens / 2));
  if (ruledOut || hasThoughtlessCalls || tokens < minBudget) return silent;
  const thinking = { type: 'enabled', budget_tokens: tokens };
  return { members: { thinking }, effort: undefined, on: true };
}
