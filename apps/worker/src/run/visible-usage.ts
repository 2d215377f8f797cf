import type { AttemptEnded } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { ContinuationStrategy } from '../continuation/strategies.ts';

/*
 * The usage that a request's readers are sent: the caller's own prompt once, and the answer that was
 * shown once, however many attempts it took. What attempts really cost is in the ledger (`ledger.ts`).
 */

export type Usage = Readonly<Record<string, unknown>>;

/** What is known of an answer when it is whole. Numbers without a unit are estimated tokens (`tokensIn`). */
export type AnswerFacts = {
  /** The caller's own prompt. A function, as `asked` is: few answers have to be estimated. */
  prompt(): number;
  /** What a target reported that an earlier attempt had asked the caller's own prompt. */
  promptReport: Usage | undefined;
  /** Shown before the last attempt spoke. */
  deliveredBefore: number;
  /** Shown of the last attempt. */
  deliveredByLast: number;
  last: LastAttempt;
};

export type LastAttempt = {
  /** How it went on with what was shown; undefined where it began the answer. */
  strategy: ContinuationStrategy | undefined;
  /** As its ledger entry has it: all that it was asked and all that it said. */
  cost: Pick<AttemptEnded, 'usage' | 'estimated'>;
  /** The prompt that it was asked: the client's, and what the strategy adds to it. */
  asked(): number;
  /** All that it answered, without its reasoning: also what it repeated of the answer before. */
  sent: number;
};

/** The attempt that ended the answer left no word of what it cost. */
export const unknownLast: LastAttempt = {
  strategy: undefined,
  cost: { estimated: 'all' },
  asked: () => 0,
  sent: 0,
};

/** Estimated tokens that a text needs before a target's own tokens per estimated token are computed from it. */
const enoughForRate = 16;
/** Beyond these the text was not what the target counted: calls of tools on its side, hidden thoughts. */
const lowestRate = 0.5;
const highestRate = 2;

/**
 * An answer that one target made as a whole has that target's report, as it is. One that was put together has
 * a count for the prompt (the report of a target that was asked nothing else, or else the last one's share
 * of it) and one for the answer (the last target's count of what it said, and at its rate what others said
 * before). `estimated: true` stands in it where either is an estimate; `total_tokens` is their sum.
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

/** The last attempt made the answer as a whole, what was shown before it included. */
const isWhole = ({ last: { strategy } }: AnswerFacts): boolean =>
  strategy === undefined || strategy === 'replay';

type Count = { tokens: number; details: Usage; isEstimate: boolean };

/** What a report says of the prompt beside its tokens. They are of that one call, as its tokens are. */
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
  // How much of the prompt was cached is only known of all that was asked.
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
  // A target that was to go on may have begun anew, and an anchor is repeated: shown before, counted once.
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

/** Completion tokens, and those of them that were reasoning. xAI and Gemini count reasoning in the total only. */
function answeredIn(report: Usage): { all: number; reasoning: number; spoken: number } | undefined {
  const { completion_tokens, prompt_tokens, total_tokens } = report;
  if (typeof completion_tokens !== 'number') return undefined;
  const details = report['completion_tokens_details'];
  const told = isJsonObject(details) ? count(details['reasoning_tokens']) : 0;
  const completion = count(completion_tokens);
  const isBeside = told > 0 && count(total_tokens) === count(prompt_tokens) + completion + told;
  const all = isBeside ? completion + told : completion;
  const reasoning = Math.min(told, all);
  return { all, reasoning, spoken: all - reasoning };
}

const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
