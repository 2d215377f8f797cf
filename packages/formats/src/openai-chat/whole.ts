import type { JsonObject } from '@millrace/shared/domain/json';
import { parseShallow, withinDepth, isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { errorOf, finishReasons, hasToolCall, isReadable, usageOf } from './chunk.ts';
import { setMembers } from '@millrace/shared/domain/json-text';
import { repairMessage } from './tool-call-repair.ts';
import { parseExactly } from '../exact-json.ts';
import { missingIdentity, newCallId } from './identity.ts';
import type { AnsweredCall, ProviderCall, Verdict } from '../port.ts';
import { faultIn } from './errors.ts';

/**
 * The verdict on a complete answer; a fault unless every choice can be read. `body`: the answer with
 * corrections of what the provider omitted or wrote differently from OpenAI: an identity, ids and arguments
 * of tool calls.
 */
export function readWhole(
  text: string,
  call: Pick<ProviderCall, 'model'> & AnsweredCall,
  now: () => number = Date.now,
): Verdict & { body?: string } {
  const parsed = parse(text);
  // Google's errors come in a list.
  const answer = Array.isArray(parsed) && errorOf(parsed[0]) ? (parsed[0] as unknown) : parsed;
  if (!isJsonObject(answer)) return invalid('something that is no JSON object');
  const fault = faultIn(answer, call);
  if (fault) return { kind: 'fault', fault };
  if (!hasAnswer(answer)) return invalid('no choice that can be read');
  const first = finishReasons(answer)[0];
  const choices = repairedChoices(text, answer);
  const members = { ...missingIdentity(answer, call.model, now()), ...(choices && { choices }) };
  return {
    kind: 'completed',
    finishReason: first?.reason ?? null,
    usage: usageOf(answer),
    ...(Object.keys(members).length > 0 && { body: setMembers(text, members) }),
  };
}

/**
 * The corrected choices as JSON text, if a tool call has no id of its own, or its arguments are an object
 * instead of a text; undefined if all are correct. The rule for streams: chunk-repair.ts.
 */
function repairedChoices(text: string, answer: JsonObject): string | undefined {
  if (!itemsOf(answer['choices']).some(hasCalls)) return undefined;
  const choices = itemsOf((withinDepth(parseExactly(text)) as JsonObject)['choices']);
  const fresh = choices.map(repairChoice);
  return fresh.every((choice, at) => choice === choices[at]) ? undefined : JSON.stringify(fresh);
}

const hasCalls = (choice: unknown): boolean => {
  const message = isJsonObject(choice) ? choice['message'] : undefined;
  return isJsonObject(message) && hasToolCall(message);
};

function repairChoice(choice: unknown): unknown {
  if (!isJsonObject(choice) || !isJsonObject(choice['message'])) return choice;
  const repaired = repairMessage(choice['message'], newCallId);
  return repaired === choice['message'] ? choice : { ...choice, message: repaired };
}

/** Whether a choice has a message, or an end that explains why it has none (a filter's). */
const hasAnswer = (answer: JsonObject): boolean => {
  const choices = itemsOf(answer['choices']);
  const says = (choice: unknown) =>
    isJsonObject(choice) &&
    (isJsonObject(choice['message']) || typeof choice['finish_reason'] === 'string');
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
