import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';

/**
 * Gemini's `usageMetadata`, a running total in each event, in OpenAI's form. Cached tokens are a part of
 * `promptTokenCount`, as of OpenAI's `prompt_tokens`; the tokens of thoughts are beside `candidatesTokenCount`, and
 * those of the results of Google's own tools beside the prompt.
 */
export function toOpenAiUsage(usage: JsonObject): Record<string, unknown> {
  const prompt = count(usage['promptTokenCount']) + count(usage['toolUsePromptTokenCount']);
  const thoughts = count(usage['thoughtsTokenCount']);
  const completion = count(usage['candidatesTokenCount']) + thoughts;
  const audioIn = audioTokens(usage['promptTokensDetails']);
  const audioOut = audioTokens(usage['candidatesTokensDetails']);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: {
      cached_tokens: count(usage['cachedContentTokenCount']),
      ...(audioIn > 0 && { audio_tokens: audioIn }),
    },
    completion_tokens_details: {
      reasoning_tokens: thoughts,
      ...(audioOut > 0 && { audio_tokens: audioOut }),
    },
  };
}

const audioTokens = (details: unknown): number =>
  itemsOf(details).reduce<number>(
    (sum, one) =>
      isJsonObject(one) && one['modality'] === 'AUDIO' ? sum + count(one['tokenCount']) : sum,
    0,
  );

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
