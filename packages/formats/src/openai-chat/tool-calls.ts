import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject } from '@millrace/shared/domain/json';
import { keepField, keepLast, type Fields } from './fields.ts';

/** A tool call while it is assembled from deltas. */
export type ToolCallParts = {
  /** The index in its deltas; undefined if they have none. */
  index: number | undefined;
  id: string;
  type: string;
  function: Fields | undefined;
  custom: Fields | undefined;
  others: Fields;
};

const callFields = new Set(['index', 'id', 'type', 'function', 'custom']);

export function addToolCalls(calls: ToolCallParts[], deltas: readonly unknown[]): void {
  for (const delta of deltas) {
    if (!isJsonObject(delta)) continue;
    const call = callOf(calls, delta);
    call.id ||= textOf(delta.id);
    call.type = textOf(delta.type) || call.type;
    if (isJsonObject(delta.function)) {
      addCallText((call.function ??= { name: '', arguments: '' }), delta.function, 'arguments');
    }
    if (isJsonObject(delta.custom)) {
      addCallText((call.custom ??= { name: '', input: '' }), delta.custom, 'input');
    }
    keepLast(call.others, delta, callFields);
  }
}

/** Name and text of a function (`arguments`), a custom tool (`input`) or a `function_call`. */
export function addCallText(target: Fields, delta: JsonObject, textField: string): void {
  const more = delta[textField];
  const present = textOf(target[textField]);
  if (typeof more === 'string') target[textField] = present + more;
  // Not a text: kept unchanged until a text arrives.
  else if (present === '') keepField(target, textField, more ?? null);
  // A name is never sent in pieces, but often repeated, or sent empty.
  target.name = textOf(delta.name) || target.name;
  keepLast(target, delta, new Set(['name', textField]));
}

function callOf(calls: ToolCallParts[], delta: JsonObject): ToolCallParts {
  const present = findCall(calls, delta, (call) => isWholeJson(call.function?.arguments));
  if (present) return present;
  const call: ToolCallParts = {
    index: indexOf(delta),
    id: '',
    type: '',
    function: undefined,
    custom: undefined,
    others: {},
  };
  calls.push(call);
  return call;
}

/** What distinguishes the calls of a choice: the values in the provider's deltas, not those that readers get. */
export type KnownCall = { readonly index: number | undefined; readonly id: string };

/**
 * The call that a delta belongs to; undefined if it begins another one. It is the call with its id, else the
 * newest one with its index, without an index the last one. A further id with a further name begins another
 * call even under the same index, because Gemini numbers all its parallel calls 0; an id alone does not,
 * because some servers create a new one for every delta. Without ids, a name and arguments after complete
 * arguments begin another call.
 */
export function findCall<Call extends KnownCall>(
  calls: readonly Call[],
  delta: JsonObject,
  isWhole: (call: Call) => boolean,
): Call | undefined {
  const index = indexOf(delta);
  const same = index === undefined ? calls : calls.filter((call) => call.index === index);
  const present = same.at(-1);
  const id = textOf(delta.id);
  if (!present || id === present.id) {
    return present && id === '' && repeatsWhole(delta) && isWhole(present) ? undefined : present;
  }
  if (id === '') return present;
  const known = same.findLast((call) => call.id === id);
  if (known) return known;
  const isAnother = present.id !== '' && (index === undefined || isNamed(delta));
  return isAnother ? undefined : present;
}

const indexOf = ({ index }: JsonObject): number | undefined =>
  typeof index === 'number' ? index : undefined;

const repeatsWhole = (delta: JsonObject): boolean =>
  isNamed(delta) && isJsonObject(delta.function) && (delta.function.arguments ?? '') !== '';

/** True for the text of a JSON object. */
export function isWholeJson(text: unknown): boolean {
  if (typeof text !== 'string' || !text.trimEnd().endsWith('}')) return false;
  try {
    return isJsonObject(JSON.parse(text));
  } catch {
    return false;
  }
}

export const isNamed = ({ function: call, custom }: JsonObject): boolean =>
  (isJsonObject(call) && textOf(call.name) !== '') ||
  (isJsonObject(custom) && textOf(custom.name) !== '');

/** Sorted by index, those without one last; in the finished message a call has no index. */
export function finishToolCalls(calls: readonly ToolCallParts[]): JsonObject[] {
  const place = (call: ToolCallParts) => call.index ?? Number.MAX_SAFE_INTEGER;
  return calls
    .toSorted((a, b) => place(a) - place(b))
    .map(({ id, type, function: call, custom, others }) => ({
      id,
      type: type || (custom && !call ? 'custom' : 'function'),
      ...(call && { function: call }),
      ...(custom && { custom }),
      ...others,
    }));
}

/** Empty if it is no text. */
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
