import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';

/** Some servers report only the sum, which is the prompt: nothing is generated. Images and audio have the names of OpenAI's newer APIs. */
export function countedUsage(usage: JsonObject | undefined): JsonObject | undefined {
  if (!usage || typeof usage['prompt_tokens'] === 'number') return usage;
  const { total_tokens: total, input_tokens: input, output_tokens: output } = usage;
  const { audio_tokens: audio } = isJsonObject(usage['input_token_details'])
    ? usage['input_token_details']
    : {};
  if (typeof input === 'number') {
    const completion = typeof output === 'number' ? output : 0;
    return {
      prompt_tokens: input,
      completion_tokens: completion,
      total_tokens: input + completion,
      ...(typeof audio === 'number' && { prompt_tokens_details: { audio_tokens: audio } }),
    };
  }
  return typeof total === 'number' ? { ...usage, prompt_tokens: total } : undefined;
}
