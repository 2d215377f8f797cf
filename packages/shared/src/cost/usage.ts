import { isJsonObject } from '../domain/json.ts';
import { reasoningBeside } from '../domain/tokens.ts';

/** What an attempt used, in tokens. Cached and written tokens are a part of `input`, reasoning is a part of `output`. */
export type TokenCounts = {
  input: number;
  cached: number;
  /** Written to a cache: in all, and those of them that it keeps for an hour (Anthropic charges more for these). */
  cacheWritten: number;
  cacheWrittenForHour: number;
  audioInput: number;
  output: number;
  audioOutput: number;
  reasoning: number;
};

export const noTokens: TokenCounts = {
  input: 0,
  cached: 0,
  cacheWritten: 0,
  cacheWrittenForHour: 0,
  audioInput: 0,
  output: 0,
  audioOutput: 0,
  reasoning: 0,
};

/**
 * Reads the usage object of an attempt: OpenAI's, in which every wire format reports (formats/…/usage.ts), with Anthropic's
 * count of cache writes beside it. A count that is missing or no number is 0; one
 * above `maxTokens` is cut to it.
 */
export function tokenCounts(usage: unknown): TokenCounts {
  if (!isJsonObject(usage)) return noTokens;
  const prompt = part(usage['prompt_tokens_details']);
  const written = part(usage['cache_creation']);
  const completion = part(usage['completion_tokens_details']);
  return {
    input: count(usage['prompt_tokens']),
    cached: count(prompt['cached_tokens']),
    cacheWritten: count(usage['cache_creation_input_tokens']),
    cacheWrittenForHour: count(written['ephemeral_1h_input_tokens']),
    audioInput: count(prompt['audio_tokens']),
    output: count(count(usage['completion_tokens']) + reasoningBeside(usage)),
    audioOutput: count(completion['audio_tokens']),
    reasoning: count(completion['reasoning_tokens']),
  };
}

const part = (value: unknown): Record<string, unknown> => (isJsonObject(value) ? value : {});

/** More tokens than any answer has: a count beyond it is an error of the provider. */
export const maxTokens = 1e9;

const count = (value: unknown): number =>
  typeof value === 'number' && value > 0 ? Math.min(Math.round(value), maxTokens) : 0;
