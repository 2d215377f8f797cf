import { isJsonObject } from '@millrace/shared/domain/json';
import { parseExactly } from '../exact-json.ts';
import { invalid, RefusedError } from '../refused.ts';
import { textOf } from '../openai-chat/tool-calls.ts';
import type { ModelTraits } from './models.ts';
import { contentParts, userPart } from './parts.ts';
import type { Part } from './parts.ts';
import { noSignature, signatureOf } from './signatures.ts';

/** The names of the functions called in a conversation, by the ids of the calls: a result must repeat its name. */
export type CalledNames = Map<string, string>;

export function callParts(
  calls: unknown,
  param: string,
  { signedCalls }: ModelTraits,
  names: CalledNames,
): Part[] {
  if (calls === undefined || calls === null) return [];
  if (!Array.isArray(calls)) throw invalid(param, 'must be an array');
  const parts = (calls as unknown[]).map((call, index) =>
    callPart(call, `${param}[${index}]`, names),
  );
  // Of calls that were made together only the first one is signed.
  const [first] = parts;
  if (first && signedCalls) first['thoughtSignature'] ??= noSignature;
  return parts;
}

function callPart(call: unknown, param: string, names: CalledNames): Part {
  if (!isJsonObject(call)) throw invalid(param, 'must be an object');
  const { id, type, function: called } = call;
  if (type === 'custom') {
    throw new RefusedError(param, "Gemini's API has no calls of custom tools.");
  }
  if (!isJsonObject(called) || typeof called['name'] !== 'string') {
    throw invalid(`${param}.function.name`, 'must be a text');
  }
  if (typeof id !== 'string') throw invalid(`${param}.id`, 'must be a text');
  const { name } = called as { name: string };
  names.set(id, name);
  return {
    functionCall: { id, name, args: toArgs(called['arguments']) },
    ...signatureOf(call),
  };
}

/**
 * The arguments as the object that Gemini requires. A model can have written invalid JSON: it stays part of the
 * conversation, as a text.
 */
function toArgs(text: unknown): unknown {
  if (typeof text !== 'string') return isJsonObject(text) ? text : {};
  if (text.trim() === '') return {};
  return parseObject(text) ?? { invalid_arguments: text };
}

/** The part for a message of role `tool`. */
export function resultPart(
  message: Readonly<Record<string, unknown>>,
  param: string,
  traits: ModelTraits,
  names: CalledNames,
): Part {
  const { tool_call_id: id, name: told, content } = message;
  if (typeof id !== 'string') throw invalid(`${param}.tool_call_id`, 'must be a text');
  const name = names.get(id) ?? told;
  if (typeof name !== 'string') {
    throw invalid(`${param}.tool_call_id`, 'must be the id of a call in the conversation');
  }
  const place = `${param}.content`;
  const parts = contentParts(content, place, userPart(traits));
  const media = parts.filter(({ text }) => text === undefined);
  if (media.length > 0 && !traits.mediaInResults) {
    throw new RefusedError(place, 'The model takes only texts as the result of a function.');
  }
  const text = parts.map((part) => textOf(part['text'])).join('');
  const response = { id, name, response: toResponse(text) };
  return { functionResponse: media.length > 0 ? { ...response, parts: media } : response };
}

/** Gemini requires an object; by its rule a single `output` is the result itself. */
const toResponse = (text: string): unknown => parseObject(text) ?? { output: text };

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = parseExactly(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
