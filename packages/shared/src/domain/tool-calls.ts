import { isObject, type JsonObject } from './chunk.ts';
import { keepField, keepLast, type Fields } from './fields.ts';

/** A tool call while its deltas are being put together. */
export type ToolCallParts = {
  /** What its deltas call it; undefined where they do not say. */
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
    if (!isObject(delta)) continue;
    const call = callOf(calls, delta);
    call.id ||= textOf(delta.id);
    call.type = textOf(delta.type) || call.type;
    if (isObject(delta.function)) {
      addCallText((call.function ??= { name: '', arguments: '' }), delta.function, 'arguments');
    }
    if (isObject(delta.custom)) {
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
  // No text: kept as it came, as long as there is none.
  else if (present === '') keepField(target, textField, more ?? null);
  // A name is never sent in pieces, but often again, or as an empty one.
  target.name = textOf(delta.name) || target.name;
  keepLast(target, delta, new Set(['name', textField]));
}

/**
 * The call that a delta belongs to: the newest one of its index; without an index, the last one.
 * A further id with a further name begins another call even under the same index, as Gemini numbers
 * all its parallel calls 0. An id alone does not: some servers make up a new one for every delta.
 */
function callOf(calls: ToolCallParts[], delta: JsonObject): ToolCallParts {
  const index = typeof delta.index === 'number' ? delta.index : undefined;
  const present =
    index === undefined ? calls.at(-1) : calls.findLast((call) => call.index === index);
  const id = textOf(delta.id);
  const isAnother = present && present.id !== '' && id !== '' && present.id !== id;
  if (present && !(isAnother && (index === undefined || isNamed(delta)))) return present;
  const call: ToolCallParts = {
    index,
    id: '',
    type: '',
    function: undefined,
    custom: undefined,
    others: {},
  };
  calls.push(call);
  return call;
}

const isNamed = ({ function: call, custom }: JsonObject): boolean =>
  (isObject(call) && textOf(call.name) !== '') || (isObject(custom) && textOf(custom.name) !== '');

/** By index, those without one last; in the finished message a call has no index of its own. */
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

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
