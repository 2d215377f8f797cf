import type { JsonObject } from '@millrace/shared/domain/json';
import { itemsOf } from '@millrace/shared/domain/json';
import {
  finishReasons,
  hasToolCall,
  opaqueMember,
  reasoningPartFields,
  reasoningTextFields,
} from '@millrace/formats/openai-chat/chunk';
import { jsonOf, isBlank } from './parts.ts';

/*
 * Fields of chunks beside the answer itself: citations and annotations, tools that the provider ran, token
 * ids, filter results. They are not progress and are not compared, but each is delivered only once.
 *
 * Lists grow item by item, so a delivered item is not delivered again. Other values belong to their chunk:
 * they are delivered with its new content; in a chunk that has nothing else, as often as in the first run of
 * the answer.
 */

/** Delivered values as JSON, by their path, and how often each was delivered. */
export type VendorValues = {
  readonly counts: Map<string, number>;
  /** Characters of all values; beyond `maxVendorChars` no more are kept, and none is delivered again. */
  chars: number;
};

/** The most characters of vendor values that a run keeps: some thousand citations. */
export const maxVendorChars = 1024 * 1024;

export const noVendorValues = (): VendorValues => ({ counts: new Map(), chars: 0 });

/** Fields of a delta that are the answer itself. */
const answerFields: ReadonlySet<string> = new Set([
  'role',
  'content',
  'refusal',
  'tool_calls',
  'function_call',
  'audio',
  'images',
  opaqueMember,
  ...reasoningTextFields,
  ...reasoningPartFields,
]);

/** Fields of a choice that are its frame. */
const frameFields: ReadonlySet<string> = new Set([
  'index',
  'delta',
  'message',
  'finish_reason',
  'native_finish_reason',
  'logprobs',
  'usage',
]);

/** Fields of a chunk that identify its answer, or are delivered in another way. */
const chunkFields: ReadonlySet<string> = new Set([
  'id',
  'object',
  'created',
  'model',
  'choices',
  'usage',
  'obfuscation',
  'system_fingerprint',
  'service_tier',
]);

type Field = [name: string, value: unknown];

const fieldsBeside = (value: JsonObject, known: ReadonlySet<string>): Field[] => {
  const fields: Field[] = [];
  for (const name in value) {
    if (!known.has(name) && !isBlank(value[name])) fields.push([name, value[name]]);
  }
  return fields;
};

/** A delta's vendor fields that are not empty. */
export const vendorFields = (delta: JsonObject): Field[] => fieldsBeside(delta, answerFields);

/** A choice's vendor fields, without those of its delta. */
export const choiceFields = (choice: JsonObject): Field[] => fieldsBeside(choice, frameFields);

/** Whether a delta has no content of the answer: no text, no part of a tool call, no end. */
export function isBare(choice: JsonObject, delta: JsonObject): boolean {
  if (hasToolCall(delta) || finishReasons({ choices: [choice] }).length > 0) return false;
  if (!isBlank(choice['logprobs'])) return false;
  for (const name of answerFields) {
    if (name !== 'role' && name in delta && !isBlank(delta[name])) return false;
  }
  return true;
}

const placeOf = (index: number, name: string): string => `${index}.${name}`;
/** The path of fields of a chunk without choices. */
const chunkPlace = 'chunk';

/** Records the vendor fields of a delivered choice. */
export function addVendorValues(
  seen: VendorValues,
  index: number,
  choice: JsonObject,
  delta: JsonObject,
): void {
  const fields = vendorFields(delta);
  const ofChoice = choiceFields(choice);
  if (fields.length + ofChoice.length === 0) return;
  const bare = isBare(choice, delta);
  for (const [name, value] of fields) {
    if (Array.isArray(value))
      for (const item of itemsOf(value)) add(seen, placeOf(index, name), item);
    else if (bare) add(seen, placeOf(index, name), value);
  }
  if (bare) for (const [name, value] of ofChoice) add(seen, placeOf(index, `/${name}`), value);
}

/** Records the vendor fields of a chunk without choices. */
export function addVendorChunk(seen: VendorValues, chunk: JsonObject): void {
  const fields = fieldsBeside(chunk, chunkFields);
  if (fields.length > 0) add(seen, chunkPlace, fields);
}

function add(seen: VendorValues, place: string, value: unknown): void {
  const key = `${place} ${jsonOf(value)}`;
  const count = seen.counts.get(key);
  if (count === undefined) seen.chars += key.length;
  if (seen.chars <= maxVendorChars) seen.counts.set(key, (count ?? 0) + 1);
}

/** Drops vendor fields of a second run of the answer that were delivered already. */
export type VendorFilter = {
  /** The delta's fields that may be delivered. `isNew`: the delta has new content of the answer. */
  ofDelta(index: number, choice: JsonObject, delta: JsonObject, isNew: boolean): JsonObject;
  /** The fields of a choice without content of the answer that may be delivered. */
  ofBareChoice(index: number, choice: JsonObject): JsonObject;
  /** Whether a chunk without choices may be delivered. */
  passes(chunk: JsonObject): boolean;
};

export function vendorFilter(delivered: VendorValues): VendorFilter {
  const left = new Map(delivered.counts);
  const isFull = delivered.chars > maxVendorChars;

  /** The first run delivered a value that is not in a list as often as the counts say. */
  function isFresh(place: string, value: unknown): boolean {
    if (isFull) return false;
    const key = `${place} ${jsonOf(value)}`;
    const count = left.get(key) ?? 0;
    if (count > 0) left.set(key, count - 1);
    return count === 0;
  }

  const isFreshItem = (place: string, item: unknown): boolean =>
    !isFull && !left.has(`${place} ${jsonOf(item)}`);

  return {
    ofDelta(index, choice, delta, isNew) {
      const given: Record<string, unknown> = {};
      for (const [name, value] of vendorFields(delta)) {
        const place = placeOf(index, name);
        if (Array.isArray(value)) {
          const items = itemsOf(value).filter((item) => isFreshItem(place, item));
          if (items.length > 0) given[name] = items;
        } else if (isNew || (isBare(choice, delta) && isFresh(place, value))) given[name] = value;
      }
      return given;
    },
    ofBareChoice: (index, choice) =>
      Object.fromEntries(
        choiceFields(choice).filter(([name, value]) => isFresh(placeOf(index, `/${name}`), value)),
      ),
    passes(chunk) {
      const fields = fieldsBeside(chunk, chunkFields);
      return fields.length > 0 && isFresh(chunkPlace, fields);
    },
  };
}
