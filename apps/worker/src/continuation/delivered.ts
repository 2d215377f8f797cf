import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import {
  choiceIndex,
  deltaOf,
  finishReasons,
  hasToolCall,
  reasoningPartFields,
  reasoningTextFields,
} from '@millrace/formats/openai-chat/chunk';
import { tokensIn, tokensInCalls } from '@millrace/shared/domain/tokens';
import { addLeaves, itemLeaves, leavesOf, isBlank } from './parts.ts';
import type { Leaf } from './parts.ts';
import { addVendorChunk, addVendorValues, noVendorValues } from './vendor-fields.ts';
import type { VendorValues } from './vendor-fields.ts';

/** What a choice says in one of its voices, as far as it can be compared letter by letter. */
export type Channel = 'content' | 'refusal' | 'reasoning';

export type Identity = { id?: unknown; created?: unknown; model?: unknown };

/**
 * What the readers of a request were sent of its answer. A plain reader cannot take it back, so
 * whatever comes after must fit it.
 */
export type Delivered = {
  /** By choice and channel (`0:content`), the text so far; none of an answer that is too long to be kept. */
  readonly texts: Map<string, string>;
  /** By choice and list (`0:reasoning_details`, `0:logprobs.content`), what its parts said so far. */
  readonly parts: Map<string, Leaf[]>;
  /** By choice, the fields under which its reasoning was sent as a text: they stay the same. */
  readonly reasoningNames: Map<number, readonly string[]>;
  /** What else came along with it. */
  readonly vendor: VendorValues;
  /** Characters of all texts, kept or not. */
  chars: number;
  /** Estimated tokens of all texts and tool calls, kept or not. */
  tokens: number;
  /** Characters of all parts. */
  partChars: number;
  /** Characters of texts and parts that are kept. */
  kept: number;
  /** So many characters are kept at most. */
  readonly maxChars: number;
  /** A tool call was sent: nothing is ever replayed after one. */
  toolCall: boolean;
  /** Audio, images, or more text than is kept: it cannot be compared. */
  other: boolean;
  /** The choices that have their finish_reason. */
  readonly finished: Map<number, string>;
  /** The choices of which any chunk was sent, and with it the role. */
  readonly begun: Set<number>;
  /** Of the first chunk: it stays the same over the whole stream. */
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

/** The one text that a target could go on from; undefined when there is more, or none. */
export function plainText(delivered: Delivered): string | undefined {
  const text = delivered.texts.get('0:content');
  const isOnly = delivered.texts.size === 1 && delivered.parts.size === 0;
  return text !== undefined && isOnly && !delivered.other && !delivered.toolCall ? text : undefined;
}

/** Characters that are kept of it. */
export const keptChars = ({ kept, vendor }: Delivered): number => kept + vendor.chars;

export const channelKey = (choice: number, channel: Channel | ListName): string =>
  `${choice}:${channel}`;

/** Adds a text to a channel. An empty one is nothing. Returns its estimated tokens. */
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

/** Counts what is kept; of an answer that is too long nothing is. */
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

/** Adds what a chunk says. Changes `shown`; returns the estimated tokens that it added. */
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
  // The same reasoning comes under several names from some providers: the first one counts.
  add('reasoning', reasoningTextFields.map((name) => delta[name]).find(isText));
  return texts;
}

/** The fields under which a delta has its reasoning as a text. */
export const reasoningNames = (delta: JsonObject): string[] =>
  reasoningTextFields.filter((name) => isText(delta[name]));

/** A list of parts, or of log probabilities, whose items are whole. */
export type List = { name: ListName; value: unknown; isWhole: boolean };
export type ListName = 'content[]' | 'logprobs.content' | 'logprobs.refusal' | PartField;
export type PartField = (typeof reasoningPartFields)[number];

/** The lists that a choice adds to. Empty ones say nothing. */
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

/** Something visible that cannot be compared: audio, images, reasoning in a form that we do not know. */
const hasOther = (delta: JsonObject): boolean =>
  isJsonObject(delta['audio']) ||
  itemsOf(delta['images']).length > 0 ||
  reasoningTextFields.some((name) => typeof delta[name] === 'object' && !isBlank(delta[name]));

function identityOf(chunk: Readonly<Record<string, unknown>>): Identity | undefined {
  const { id, created, model } = chunk;
  return id === undefined || id === '' ? undefined : { id, created, model };
}
