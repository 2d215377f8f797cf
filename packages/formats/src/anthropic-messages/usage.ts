import { isJsonObject } from '@millrace/shared/domain/json';

export type Usage = Record<string, unknown>;

/** Together they are the prompt: an event that moves tokens from one to another says so in all. */
const promptCounts = ['input_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens'];

/**
 * What a stream has reported of its usage so far. The counts are running totals. A null stands for a count
 * that an event does not report, and compatible servers write a zero for it: neither takes away what an
 * event before it reported. A zero counts beside a count of the prompt that is none.
 */
export function mergeUsage(known: Usage, told: unknown): Usage {
  if (!isJsonObject(told)) return known;
  const hasPrompt = promptCounts.some((name) => count(told[name]) > 0);
  const isReported = ([name, value]: [string, unknown]) =>
    value !== null &&
    (value !== 0 || count(known[name]) === 0 || (hasPrompt && promptCounts.includes(name)));
  return { ...known, ...Object.fromEntries(Object.entries(told).filter(isReported)) };
}

/** Whether an event has the count of the answer so far, and not of its beginning alone. */
export const countsAnswer = (told: unknown): boolean =>
  isJsonObject(told) && count(told['output_tokens']) > 0;

/**
 * Anthropic's usage as OpenAI's. `input_tokens` are those that no cache knew, where OpenAI's
 * `prompt_tokens` are all; the tokens of thoughts are in both totals. Anthropic's further counts
 * (cache writes by their lifetime, server tools, tier) stay beside OpenAI's under their names.
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
  // Of a server's own tools, in the middle of what they do: there was more to come.
  pause_turn: 'length',
  refusal: 'content_filter',
};

/** Undefined where the answer has no end. One that we do not know yet is an ordinary one. */
export function finishReasonOf(stopReason: unknown): string | undefined {
  if (typeof stopReason !== 'string' || stopReason === '') return undefined;
  return Object.hasOwn(finishReasons, stopReason) ? finishReasons[stopReason] : 'stop';
}

/** Why the model's guard stopped the answer, in words, where it says so. */
export function refusalOf(stopDetails: unknown): string | undefined {
  if (!isJsonObject(stopDetails) || stopDetails['type'] !== 'refusal') return undefined;
  const { explanation } = stopDetails;
  return typeof explanation === 'string' && explanation !== '' ? explanation : undefined;
}
