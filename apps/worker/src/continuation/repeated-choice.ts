import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject } from '@millrace/shared/domain/json';
import { hasFinish } from '@millrace/formats/openai-chat/chunk';
import type { Fresh } from './replay-filter.ts';

export type RepeatedChoice = {
  /** The choice as the target sent it. */
  choice: JsonObject;
  index: number;
  delta: JsonObject;
  /** The content that readers do not have yet. */
  fresh: Fresh;
  /** The fields in which reasoning is delivered. */
  names: readonly string[];
  /** The other fields of the delta: a role, vendor fields. */
  beside: JsonObject;
};

/** The choice without the content that was delivered, including copies of a text in other fields. */
export function withoutRepetition(given: RepeatedChoice): JsonObject {
  const { choice, index, delta } = given;
  const fresh = newDelta(given);
  const { message, text, logprobs, ...rest } = choice;
  return {
    ...rest,
    index,
    delta: fresh,
    // Together copies the delta's content to `text`, Writer the whole delta to `message`.
    ...(text !== undefined && {
      text: text === delta['content'] ? (fresh['content'] ?? '') : text,
    }),
    ...(isJsonObject(choice['delta']) &&
      message !== undefined && { message: isSame(message, delta) ? fresh : message }),
    ...(logprobs !== undefined && { logprobs: newLogprobs(logprobs, given.fresh) }),
    finish_reason: hasFinish(choice) ? choice['finish_reason'] : null,
  };
}

function newDelta({ delta, fresh, names, beside }: RepeatedChoice): JsonObject {
  const said: Record<string, unknown> = { ...beside };
  for (const name of ['tool_calls', 'function_call']) {
    if (name in delta && delta[name] !== null) said[name] = delta[name];
  }
  for (const [channel, text] of fresh.texts) {
    if (channel !== 'reasoning') said[channel] = text;
    else for (const name of names) said[name] = text;
  }
  for (const [name, items] of fresh.lists) {
    if (name === 'content[]') said['content'] = items;
    else if (!name.startsWith(logprobsOf)) said[name] = items;
  }
  return said;
}

const logprobsOf = 'logprobs.';

function newLogprobs(logprobs: unknown, { lists }: Fresh): unknown {
  if (!isJsonObject(logprobs)) return logprobs;
  const fresh: Record<string, unknown> = { ...logprobs };
  for (const name of ['content', 'refusal']) {
    if (Array.isArray(logprobs[name]) && logprobs[name].length > 0) fresh[name] = null;
  }
  for (const [name, items] of lists) {
    if (name.startsWith(logprobsOf)) fresh[name.slice(logprobsOf.length)] = items;
  }
  return fresh;
}

const isSame = (one: unknown, other: unknown): boolean =>
  JSON.stringify(one) === JSON.stringify(other);
