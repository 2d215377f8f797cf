import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { deltaOf } from '../../openai-chat/chunk.ts';

/** The text that a delta, or a whole message, adds. Thoughts are left out. */
export function textIn(delta: JsonObject): string {
  const { content, refusal } = delta;
  const parts = itemsOf(content).map((part) => (isJsonObject(part) ? part['text'] : undefined));
  return [content, ...parts, refusal].filter((one) => typeof one === 'string').join('');
}

/** A choice with its text. `offset`: the characters of its text before this one. */
export function textChoice(choice: JsonObject, place: number, offset: number): JsonObject {
  const { delta: _delta, message: _message, index, logprobs, finish_reason: end, ...more } = choice;
  const text = textIn(deltaOf(choice) ?? {});
  return {
    text,
    index: index ?? place,
    logprobs: legacyLogprobs(logprobs, offset),
    finish_reason: end ?? null,
    ...more,
  };
}

/** Those of a provider's own Completions API have the old form already. */
function legacyLogprobs(logprobs: unknown, offset: number): unknown {
  if (!isJsonObject(logprobs)) return null;
  const content = itemsOf(logprobs['content']).filter(isJsonObject);
  if (content.length === 0) return 'tokens' in logprobs ? logprobs : null;
  let at = offset;
  const offsets = content.map(({ token }) => {
    const start = at;
    at += typeof token === 'string' ? token.length : 0;
    return start;
  });
  return {
    tokens: content.map(({ token }) => token),
    token_logprobs: content.map(({ logprob }) => logprob),
    top_logprobs: content.map(({ top_logprobs: top }) =>
      Object.fromEntries(
        itemsOf(top)
          .filter(isJsonObject)
          .flatMap(({ token, logprob }) => (typeof token === 'string' ? [[token, logprob]] : [])),
      ),
    ),
    text_offset: offsets,
  };
}

/** The id of the answer in this format. */
export const textId = (id: unknown): unknown =>
  typeof id === 'string' ? id.replace(/^chatcmpl-/, 'cmpl-') : id;
