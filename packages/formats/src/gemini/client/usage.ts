import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { reasoningBeside } from '@millrace/shared/domain/tokens';
import type { AnswerFacts } from '../../client-port.ts';

/** The inner form's usage as Gemini's `usageMetadata`, which counts thoughts apart from the answer. */
export function fromInnerUsage(usage: JsonObject): JsonObject {
  const prompt = count(usage['prompt_tokens']);
  const completion = count(usage['completion_tokens']) + reasoningBeside(usage);
  const cached = count(member(usage['prompt_tokens_details'], 'cached_tokens'));
  const thoughts = count(member(usage['completion_tokens_details'], 'reasoning_tokens'));
  return {
    promptTokenCount: prompt,
    candidatesTokenCount: Math.max(0, completion - thoughts),
    totalTokenCount: prompt + completion,
    ...(cached > 0 && { cachedContentTokenCount: cached }),
    ...(thoughts > 0 && { thoughtsTokenCount: thoughts }),
  };
}

const member = (value: unknown, name: string): unknown =>
  isJsonObject(value) ? value[name] : undefined;

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

const reasons: Readonly<Record<string, string>> = {
  length: 'MAX_TOKENS',
  content_filter: 'SAFETY',
};

/** `native`: a Gemini provider's own reason. An unknown finish_reason counts as an ordinary end. */
export function finishReasonOf(finishReason: string, native: unknown): string {
  if (typeof native === 'string' && /^[A-Z][A-Z_]+$/.test(native)) return native;
  return (Object.hasOwn(reasons, finishReason) ? reasons[finishReason] : undefined) ?? 'STOP';
}

/** The model and the id of a response: those of the answer in the inner form, else of the request. */
export const identityOf = ({ model, id }: JsonObject, answer: AnswerFacts): JsonObject => ({
  modelVersion: typeof model === 'string' && model !== '' ? model : answer.model,
  responseId:
    typeof id === 'string' && id !== ''
      ? id.replace(/^chatcmpl-/, '')
      : answer.id.replace(/^req_/, ''),
});
