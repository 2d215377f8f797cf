import { isJsonObject } from '@millrace/shared/domain/json';

export type Usage = Record<string, unknown>;

/**
 * What a stream has told of its usage so far: the counts are running totals, and a null, which stands
 * for a count that the event does not tell, takes nothing away.
 */
export function mergeUsage(known: Usage, told: unknown): Usage {
  if (!isJsonObject(told)) return known;
  const counts = Object.entries(told).filter(([, value]) => value !== null);
  return { ...known, ...Object.fromEntries(counts) };
}

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
