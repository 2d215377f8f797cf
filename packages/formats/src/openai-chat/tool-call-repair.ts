import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject } from '@millrace/shared/domain/json';
import { findCall, isNamed, isWholeJson, textOf, type KnownCall } from './tool-calls.ts';

/**
 * Corrects the tool calls of one choice so that every reader assembles the same calls from them, also one
 * that uses only the index and joins repeated texts (OpenAI's SDKs): every call has an index of its own, one
 * id and one name, and its arguments are texts.
 */
export type ToolCallRepair = {
  /** The deltas as readers get them; the same list if they are correct. */
  repair(deltas: readonly unknown[]): readonly unknown[];
};

type Shown = KnownCall & {
  /** The provider's id. */
  id: string;
  /** The index that readers get. */
  shownIndex: number;
  isNamed: boolean;
  /** Kept only for calls without an id, which are not distinguished by anything else. */
  argumentsText: string;
};

/** `newId`: creates an id for a call without one, or with that of another call. */
export function createToolCallRepair(newId: () => string): ToolCallRepair {
  const calls: Shown[] = [];

  function begin(delta: JsonObject): Shown {
    const wished = delta.index;
    const isFree = isIndex(wished) && !calls.some(({ shownIndex }) => shownIndex === wished);
    const call: Shown = {
      index: typeof wished === 'number' ? wished : undefined,
      id: textOf(delta.id),
      shownIndex: isFree ? wished : 1 + Math.max(-1, ...calls.map((one) => one.shownIndex)),
      isNamed: false,
      argumentsText: '',
    };
    calls.push(call);
    return call;
  }

  function repairDelta(delta: unknown): unknown {
    if (!isJsonObject(delta)) return delta;
    const present = findCall(calls, delta, (call) => isWholeJson(call.argumentsText));
    const id = textOf(delta.id);
    const isTaken = id === '' || calls.some((call) => call.id === id);
    const call = present ?? begin(delta);
    const edits: Record<string, unknown> = {};
    if (delta.index !== call.shownIndex) edits.index = call.shownIndex;
    if (!present && isTaken) edits.id = newId();
    else if (present && id !== '') edits.id = undefined;
    for (const field of ['function', 'custom'] as const) {
      const part = delta[field];
      const fresh = isJsonObject(part) ? repairPart(part, call.isNamed) : part;
      if (fresh !== part) edits[field] = fresh;
    }
    call.id ||= id;
    if (isNamed(delta)) call.isNamed = true;
    if (call.id === '' && isJsonObject(delta.function)) {
      call.argumentsText += textOf(delta.function.arguments);
    }
    return edited(delta, edits);
  }

  return {
    repair(deltas) {
      const fresh = deltas.map(repairDelta);
      return fresh.some((delta, at) => delta !== deltas[at]) ? fresh : deltas;
    },
  };
}

/**
 * Corrects the message of a whole answer, whose calls are separate items and not deltas: an id of its own for
 * each call, and arguments that are texts. The same object if it is correct.
 */
export function repairMessage(message: JsonObject, newId: () => string): JsonObject {
  const { tool_calls: calls, function_call: call } = message;
  const edits: Record<string, unknown> = {};
  if (Array.isArray(calls)) {
    const ids = new Set<string>();
    const fresh = (calls as unknown[]).map((one) => repairCall(one, ids, newId));
    if (fresh.some((one, at) => one !== calls[at])) edits.tool_calls = fresh;
  }
  const part = isJsonObject(call) ? repairPart(call, false) : call;
  if (part !== call) edits.function_call = part;
  return edited(message, edits);
}

/** `ids`: the ids of the calls before it. */
function repairCall(call: unknown, ids: Set<string>, newId: () => string): unknown {
  if (!isJsonObject(call)) return call;
  const edits: Record<string, unknown> = {};
  const told = textOf(call.id);
  const id = told === '' || ids.has(told) ? newId() : told;
  ids.add(id);
  if (id !== call.id) edits.id = id;
  const part = isJsonObject(call.function) ? repairPart(call.function, false) : call.function;
  if (part !== call.function) edits.function = part;
  return edited(call, edits);
}

/**
 * Corrects a `function`, a `custom` tool or a `function_call` whose name readers may have; the same object if
 * it is correct.
 */
export function repairPart(part: JsonObject, hasName: boolean): JsonObject {
  const edits: Record<string, unknown> = {};
  if (hasName && textOf(part.name) !== '') edits.name = undefined;
  // Some servers send the arguments as an object instead of its JSON text.
  if (isJsonObject(part.arguments)) edits.arguments = JSON.stringify(part.arguments);
  return edited(part, edits);
}

const isIndex = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

/** The object with these members, without those that are undefined; the object itself if there are none. */
export function edited(object: JsonObject, edits: Readonly<Record<string, unknown>>): JsonObject {
  const names = Object.keys(edits);
  if (names.length === 0) return object;
  const result = { ...object, ...edits };
  for (const name of names) if (edits[name] === undefined) delete result[name];
  return result;
}
