import { parseShallow } from '@millrace/shared/domain/json';
import {
  errorOf,
  finishReasons,
  isObject,
  isReadable,
  itemsOf,
  usageOf,
} from '@millrace/shared/domain/chunk';
import type { JsonObject } from '@millrace/shared/domain/chunk';
import { setMembers } from '@millrace/shared/domain/json-text';
import { missingIdentity } from '../identity.ts';
import type { ProviderCall, Verdict } from '../port.ts';
import { errorInJson, fromErrorEvent } from './errors.ts';

/**
 * What a whole answer was worth. One of which not every choice can be read is none. `body`: with an
 * identity of ours, where the provider gave it none or an empty one.
 */
export function readWhole(
  text: string,
  { model, body }: Pick<ProviderCall, 'model' | 'body'>,
  now: () => number = Date.now,
): Verdict & { body?: string } {
  const parsed = parse(text);
  // Google's errors come in a list.
  const answer = Array.isArray(parsed) && errorOf(parsed[0]) ? (parsed[0] as unknown) : parsed;
  if (!isObject(answer)) return invalid('something that is no JSON object');
  const error = errorInJson(answer);
  if (error !== undefined) return fromErrorEvent(error, { body });
  if (!hasAnswer(answer)) return invalid('no choice that can be read');
  const first = finishReasons(answer)[0];
  const missing = missingIdentity(answer, model, now());
  return {
    kind: 'completed',
    finishReason: first?.reason ?? null,
    usage: usageOf(answer),
    ...(missing && { body: setMembers(text, missing) }),
  };
}

/** A choice has a message, or an end that says why it has none (a filter's). */
const hasAnswer = (answer: JsonObject): boolean => {
  const choices = itemsOf(answer['choices']);
  const says = (choice: unknown) =>
    isObject(choice) &&
    (isObject(choice['message']) || typeof choice['finish_reason'] === 'string');
  return choices.length > 0 && choices.every(says) && isReadable(answer);
};

const invalid = (what: string): Verdict => ({
  kind: 'fault',
  fault: { code: 'upstream_invalid_response', message: `The provider answered with ${what}.` },
});

function parse(text: string): unknown {
  try {
    return parseShallow(text);
  } catch {
    return undefined;
  }
}
