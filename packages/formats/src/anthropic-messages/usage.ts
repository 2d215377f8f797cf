import { isJsonObject } from '@millrace/shared/domain/json';

export type Usage = Record<string, unknown>;

/** Together they are the prompt: an event that moves tokens between them reports all of them. */
const promptCounts = ['input_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens'];

/**
 * Merges the usage that a stream has reported so far with that of an event. The counts are running totals. A
 * null is a count that the event does not report, and compatible servers write a zero for it: neither
 * replaces an earlier count. A zero counts only beside another prompt count that is not zero.
 */
export function mergeUsage(known: Usage, told: unknown): Usage {
  if (!isJsonObject(told)) return known;
  const hasPrompt = promptCounts.some((name) => count(told[name]) > 0);
  const isReported = ([name, value]: [string, unknown]) =>
    value !== null &&
    (value !== 0 || count(known[name]) === 0 || (hasPrompt && promptCounts.includes(name)));
  return { ...known, ...Object.fromEntries(Object.entries(told).filter(isReported)) };
}

/** Whether an event has a count of the answer so far, not only of its beginning. */
export const countsAnswer = (told: unknown): boolean =>
  isJsonObject(told) && count(told['output_tokens']) > 0;

/**
 * Anthropic's usage in OpenAI's form. `input_tokens` excludes cached tokens, whereas OpenAI's `prompt_tokens`
 * includes them; the tokens of thoughts are in both totals. Anthropic's further counts (cache writes by
 * lifetime, server tools, tier) are kept under their own names.
 */
export function toOpenAiUsage(usage: Usage): Usage {
  const { input_tokens, output_tokens, output_tokens_details: details, ...others } = usage;
  const cacheRead = count(usage['cache_read_input_tokens']);
  const prompt = count(input_tokens) + cacheRead + count(usage['cache_creation_input_tokens']);
  const completion = count(output_tokens);
  const thinking = isJsonObject(details) ? details['thinking_tokens'] : undefined;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cacheRead },
    ...(thinking !== undefined && {
      completion_tokens_details: { reasoning_tokens: count(thinking) },
    }),
    ...others,
  };
}

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

const finishReasons: Readonly<Record<string, string>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  tool_use: 'tool_calls',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  // A pause while server tools run: the answer is not complete.
  pause_turn: 'length',
  refusal: 'content_filter',
};

/** Undefined if the answer has no end. An unknown reason counts as an ordinary end. */
export function finishReasonOf(stopReason: unknown): string | undefined {
  if (typeof stopReason !== 'string' || stopReason === '') return undefined;
  return Object.hasOwn(finishReasons, stopReason) ? finishReasons[stopReason] : 'stop';
}

/** The explanation why the provider's safety filter stopped the answer, if there is one. */
export function refusalOf(stopDetails: unknown): string | undefined {
  if (!isJsonObject(stopDetails) || stopDetails['type'] !== 'refusal') return undefined;
  const { explanation } = stopDetails;
  return typeof explanation === 'string' && explanation !== '' ? explanation : undefined;
}
