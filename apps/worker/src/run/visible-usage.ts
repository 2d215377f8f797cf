import type { AttemptEnded } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import { reasoningBeside } from '@millrace/shared/domain/tokens';
import type { ContinuationStrategy } from '../continuation/strategies.ts';

/*
 * The usage that a request's readers receive: the caller's own prompt once and the delivered answer once,
 * however many attempts were made. The attempts' ends (`attempt-cost.ts`) have their real cost.
 */

export type Usage = Readonly<Record<string, unknown>>;

/** The facts about a complete answer. Numbers without a unit are estimated tokens (`tokensIn`). */
export type AnswerFacts = {
  /** Tokens of the caller's own prompt. A function, as `asked` is, because few answers need an estimate. */
  prompt(): number;
  /** The usage that a target reported for an earlier attempt with the caller's own prompt. */
  promptReport: Usage | undefined;
  /** Delivered before the last attempt. */
  deliveredBefore: number;
  /** Delivered from the last attempt. */
  deliveredByLast: number;
  last: LastAttempt;
};

export type LastAttempt = {
  /** The strategy with which it continued; undefined if it began the answer. */
  strategy: ContinuationStrategy | undefined;
  /** Its cost as in its end: the complete prompt and output. */
  cost: Pick<AttemptEnded, 'usage' | 'estimated'>;
  /** Tokens of its prompt: the client's, and what the strategy adds. */
  asked(): number;
  /** Tokens of its output without reasoning, including what it repeated of the answer. */
  sent: number;
};

/** The attempt that completed the answer left no record of its cost. */
export const unknownLast: LastAttempt = {
  strategy: undefined,
  cost: { estimated: 'all' },
  asked: () => 0,
  sent: 0,
};

/** The least estimated tokens of a text from which a target's rate (own tokens per estimated token) is computed. */
const enoughForRate = 16;
/** Outside this range the target counted more than the text: its own tool calls, hidden thoughts. */
const lowestRate = 0.5;
const highestRate = 2;

/**
 * An answer that one target made as a whole keeps that target's report. A composed answer gets a prompt count
 * (the report of a target that was asked the original prompt, or else the last one's count, reduced to the
 * original's share) and a completion count (the last target's count of its own part, and the earlier parts at
 * its rate). `estimated: true` is set if either is an estimate; `total_tokens` is their sum.
 */
export function visibleUsage(facts: AnswerFacts): Usage {
  const { cost } = facts.last;
  const usage = isJsonObject(cost.usage) ? cost.usage : {};
  if (isWhole(facts) && !cost.estimated) return usage;
  const prompt = promptOf(facts, usage);
  const completion = completionOf(facts, usage);
  return {
    prompt_tokens: prompt.tokens,
    completion_tokens: completion.tokens,
    total_tokens: prompt.tokens + completion.tokens,
    ...prompt.details,
    ...completion.details,
    ...((prompt.isEstimate || completion.isEstimate) && { estimated: true }),
  };
}

/** Whether the last attempt made the whole answer, including what was delivered before. */
const isWhole = ({ last: { strategy } }: AnswerFacts): boolean =>
  strategy === undefined || strategy === 'replay';

type Count = { tokens: number; details: Usage; isEstimate: boolean };

/** Details of the prompt in a report. Like its tokens, they apply to that one call only. */
const promptDetails = [
  'prompt_tokens_details',
  'cached_tokens',
  'prompt_cache_hit_tokens',
  'prompt_cache_miss_tokens',
  'cache_read_input_tokens',
  'cache_creation_input_tokens',
  'cache_creation',
];

function promptOf(facts: AnswerFacts, usage: Usage): Count {
  const { promptReport, last } = facts;
  const own = last.cost.estimated === 'all' ? 0 : count(usage['prompt_tokens']);
  const source = isWhole(facts) && own > 0 ? usage : promptReport;
  const known = count(source?.['prompt_tokens']);
  if (source && known > 0) {
    const told = promptDetails.filter((name) => source[name] !== undefined);
    const details = Object.fromEntries(told.map((name) => [name, source[name]]));
    return { tokens: known, details, isEstimate: false };
  }
  const prompt = facts.prompt();
  const share = own > 0 ? Math.min(1, prompt / Math.max(1, last.asked())) : 0;
  // The cached share is only known for the complete prompt of the call.
  const tokens = own > 0 ? Math.max(1, Math.round(own * share)) : Math.ceil(prompt);
  return { tokens, details: {}, isEstimate: true };
}

function completionOf(facts: AnswerFacts, usage: Usage): Count {
  const { deliveredBefore, deliveredByLast, last } = facts;
  const { sent, cost } = last;
  const reported = cost.estimated ? undefined : answeredIn(usage);
  if (!reported) {
    const own = isWhole(facts) ? count(usage['completion_tokens']) : 0;
    return {
      tokens: own || Math.ceil(deliveredBefore + deliveredByLast),
      details: {},
      isEstimate: true,
    };
  }
  // A target that was to continue may have begun anew, and an anchor is repeated: tokens delivered before
  // count once.
  const repeated = Math.max(0, Math.min(deliveredBefore, sent - deliveredByLast));
  if (repeated === deliveredBefore && sent === deliveredBefore + deliveredByLast) {
    const details = usage['completion_tokens_details'];
    return {
      tokens: reported.all,
      details: isJsonObject(details) ? { completion_tokens_details: details } : {},
      isEstimate: false,
    };
  }
  const spoken = sent > 0 ? reported.spoken / sent : 1;
  const rate = sent < enoughForRate ? 1 : Math.min(highestRate, Math.max(lowestRate, spoken));
  const ofLast =
    reported.reasoning + (sent > 0 ? spoken * (deliveredByLast + repeated) : reported.spoken);
  const tokens = Math.round(ofLast + rate * (deliveredBefore - repeated));
  const details =
    reported.reasoning > 0
      ? { completion_tokens_details: { reasoning_tokens: reported.reasoning } }
      : {};
  return { tokens, details, isEstimate: true };
}

/** Completion tokens, and the reasoning tokens among them. */
function answeredIn(report: Usage): { all: number; reasoning: number; spoken: number } | undefined {
  const completion = report['completion_tokens'];
  if (typeof completion !== 'number') return undefined;
  const details = report['completion_tokens_details'];
  const all = count(completion) + reasoningBeside(report);
  const reasoning = Math.min(isJsonObject(details) ? count(details['reasoning_tokens']) : 0, all);
  return { all, reasoning, spoken: all - reasoning };
}

const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
