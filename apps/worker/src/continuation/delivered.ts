import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import {
  choiceIndex,
  deltaOf,
  finishReasons,
  hasToolCall,
  opaqueMember,
  reasoningPartFields,
  reasoningTextFields,
} from '@millrace/formats/openai-chat/chunk';
import { tokensIn, tokensInCalls } from '@millrace/shared/domain/tokens';
import { addLeaves, itemLeaves, leavesOf, isBlank } from './parts.ts';
import type { Leaf } from './parts.ts';
import { addVendorChunk, addVendorValues, noVendorValues } from './vendor-fields.ts';
import type { VendorValues } from './vendor-fields.ts';

/** A kind of text in a choice. Texts are compared character by character. */
export type Channel = 'content' | 'refusal' | 'reasoning';

export type Identity = { id?: unknown; created?: unknown; model?: unknown };

/**
 * The part of an answer that readers have received. A plain reader cannot take it back, so everything that
 * follows must fit it.
 */
export type Delivered = {
  /** Text so far, by choice and channel (`0:content`). Empty if the answer is too long to be kept. */
  readonly texts: Map<string, string>;
  /** The contents of lists of parts so far, by choice and list (`0:reasoning_details`, `0:logprobs.content`). */
  readonly parts: Map<string, Leaf[]>;
  /** By choice, the fields in which its reasoning was sent as text. A stream never changes them. */
  readonly reasoningNames: Map<number, readonly string[]>;
  /** Vendor fields that were sent with it. */
  readonly vendor: VendorValues;
  /** Characters of all texts, kept or not. */
  chars: number;
  /** Estimated tokens of all texts and tool calls, kept or not. */
  tokens: number;
  /** Characters of all parts. */
  partChars: number;
  /** Characters of texts and parts that are kept. */
  kept: number;
  /** The most characters that are kept. */
  readonly maxChars: number;
  /** A tool call was sent: the answer is never replayed after that. */
  toolCall: boolean;
  /** Audio, images, or more text than is kept was sent: the answer cannot be compared. */
  other: boolean;
  /** The choices that have their finish_reason. */
  readonly finished: Map<number, string>;
  /** The choices of which a chunk, and so the role, was sent. */
  readonly begun: Set<number>;
  /** Id, model and time of the first chunk; all chunks of a stream carry the same. */
  identity: Identity | undefined;
};

export const nothingDelivered = (maxChars = Infinity): Delivered => ({
  texts: new Map(),
  parts: new Map(),
  reasoningNames: new Map(),
  vendor: noVendorValues(),
  chars: 0,
  tokens: 0,
  partChars: 0,
  kept: 0,
  maxChars,
  toolCall: false,
  other: false,
  finished: new Map(),
  begun: new Set(),
  identity: undefined,
});

export const isEmpty = (delivered: Delivered): boolean =>
  delivered.texts.size === 0 &&
  delivered.parts.size === 0 &&
  !delivered.toolCall &&
  !delivered.other &&
  delivered.finished.size === 0;

/** The text that a target can continue; undefined unless the answer so far is exactly one text. */
export function plainText(delivered: Delivered): string | undefined {
  const text = delivered.texts.get('0:content');
  const isOnly = delivered.texts.size === 1 && delivered.parts.size === 0;
  return text !== undefined && isOnly && !delivered.other && !delivered.toolCall ? text : undefined;
}

export const keptChars = ({ kept, vendor }: Delivered): number => kept + vendor.chars;

export const channelKey = (choice: number, channel: Channel | ListName): string =>
  `${choice}:${channel}`;

/** Adds a text to a channel. Returns its estimated tokens. */
export function addText(delivered: Delivered, where: string, text: string): number {
  if (text === '') return 0;
  const tokens = tokensIn(text);
  delivered.chars += text.length;
  delivered.tokens += tokens;
  if (keep(delivered, text.length))
    delivered.texts.set(where, (delivered.texts.get(where) ?? '') + text);
  return tokens;
}

function addParts(delivered: Delivered, where: string, leaves: readonly Leaf[]): void {
  if (leaves.length === 0) return;
  const said = delivered.parts.get(where) ?? [];
  const chars = addLeaves(said, leaves);
  delivered.partChars += chars;
  if (keep(delivered, chars)) delivered.parts.set(where, said);
}

/** Adds to the count of kept characters. Once the answer is too long, drops all that was kept. */
function keep(delivered: Delivered, chars: number): boolean {
  if (delivered.kept + chars <= delivered.maxChars && !delivered.other) {
    delivered.kept += chars;
    return true;
  }
  delivered.texts.clear();
  delivered.parts.clear();
  delivered.kept = 0;
  delivered.other = true;
  return false;
}

/** Adds the contents of a chunk to `delivered`. Returns the estimated tokens that it added. */
export function addChunk(delivered: Delivered, chunk: unknown): number {
  if (!isJsonObject(chunk)) return 0;
  const before = delivered.tokens;
  delivered.identity ??= identityOf(chunk);
  const choices = itemsOf(chunk['choices']);
  if (choices.length === 0) addVendorChunk(delivered.vendor, chunk);
  for (let place = 0; place < choices.length; place++) {
    const choice = choices[place];
    const delta = deltaOf(choice);
    if (!isJsonObject(choice) || !delta) continue;
    const index = choiceIndex(choice, place);
    delivered.begun.add(index);
    for (const [channel, text] of textsOf(delta)) {
      addText(delivered, channelKey(index, channel), text);
      if (channel === 'reasoning' && !delivered.reasoningNames.has(index)) {
        delivered.reasoningNames.set(index, reasoningNames(delta));
      }
    }
    for (const { name, value, isWhole } of listsOf(choice, delta)) {
      addParts(delivered, channelKey(index, name), isWhole ? itemLeaves(value) : leavesOf(value));
    }
    if (hasToolCall(delta)) {
      delivered.toolCall = true;
      delivered.tokens += tokensInCalls(delta);
    }
    if (hasOther(delta)) delivered.other = true;
    addVendorValues(delivered.vendor, index, choice, delta);
  }
  for (const { index, reason } of finishReasons(chunk)) delivered.finished.set(index, reason);
  return delivered.tokens - before;
}

/** The texts that a delta adds, by channel. */
export function textsOf(delta: Readonly<Record<string, unknown>>): [Channel, string][] {
  const texts: [Channel, string][] = [];
  const add = (channel: Channel, value: unknown) => {
    if (typeof value === 'string' && value !== '') texts.push([channel, value]);
  };
  add('content', delta['content']);
  add('refusal', delta['refusal']);
  // Some providers send the same reasoning in several fields: only the first one counts.
  add('reasoning', reasoningTextFields.map((name) => delta[name]).find(isText));
  return texts;
}

/** The fields in which a delta has its reasoning as text. */
export const reasoningNames = (delta: JsonObject): string[] =>
  reasoningTextFields.filter((name) => isText(delta[name]));

/** A list of parts, or (`isWhole`) of log probabilities, whose items are never continued by the next one. */
export type List = { name: ListName; value: unknown; isWhole: boolean };
export type ListName = 'content[]' | 'logprobs.content' | 'logprobs.refusal' | PartField;
export type PartField = (typeof reasoningPartFields)[number];

/** The non-empty lists in a chunk of a choice. */
export function listsOf(choice: JsonObject, delta: JsonObject): List[] {
  const lists: List[] = [];
  if (Array.isArray(delta['content'])) {
    lists.push({ name: 'content[]', value: delta['content'], isWhole: false });
  }
  for (const name of reasoningPartFields) {
    if (!isBlank(delta[name])) lists.push({ name, value: delta[name], isWhole: false });
  }
  const logprobs = choice['logprobs'];
  if (!isJsonObject(logprobs)) return lists;
  for (const name of ['content', 'refusal'] as const) {
    if (!Array.isArray(logprobs[name]) || logprobs[name].length === 0) continue;
    lists.push({ name: `logprobs.${name}`, value: logprobs[name], isWhole: true });
  }
  return lists;
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';

/** Visible content that cannot be compared: audio, images, reasoning in an unknown form. */
const hasOther = (delta: JsonObject): boolean =>
  isJsonObject(delta['audio']) ||
  isJsonObject(delta[opaqueMember]) ||
  itemsOf(delta['images']).length > 0 ||
  reasoningTextFields.some((name) => typeof delta[name] === 'object' && !isBlank(delta[name]));

function identityOf(chunk: Readonly<Record<string, unknown>>): Identity | undefined {
  const { id, created, model } = chunk;
  return id === undefined || id === '' ? undefined : { id, created, model };
}
