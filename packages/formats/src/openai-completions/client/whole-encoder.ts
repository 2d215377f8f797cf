import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { parseExactly } from '../../exact-json.ts';
import { textChoice, textId } from './choices.ts';

/** A chat completion as a completion. */
export function encodeWhole(completion: string): string {
  const value = parseExactly(completion);
  const answer: JsonObject = isJsonObject(value) ? value : {};
  const choices = itemsOf(answer['choices']).filter(isJsonObject);
  return JSON.stringify({
    ...answer,
    id: textId(answer['id']),
    object: 'text_completion',
    choices: choices.map((choice, place) => textChoice(choice, place, 0)),
  });
}
