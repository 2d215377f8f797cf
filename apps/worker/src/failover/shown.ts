import {
  choiceIndex,
  deltaOf,
  finishReasons,
  hasToolCall,
  isObject,
  itemsOf,
  reasoningPartFields,
  reasoningTextFields,
} from '@millrace/shared/domain/chunk';
import { tokensIn, tokensInCalls } from '@millrace/shared/domain/tokens';

/** What a choice says in one of its voices, as far as it can be compared letter by letter. */
export type Channel = 'content' | 'refusal' | 'reasoning';

export type Identity = { id?: unknown; created?: unknown; model?: unknown };

/**
 * What the readers of a request were sent of its answer. A plain reader cannot take it back, so
 * whatever comes after must fit it.
 */
export type Shown = {
  /** By choice and channel (`0:content`), the text so far; none of an answer that is too long to be kept. */
  readonly texts: Map<string, string>;
  /** Characters of all texts, kept or not. */
  chars: number;
  /** Estimated tokens of all texts and tool calls, kept or not. */
  tokens: number;
  /** So many characters are kept at most. */
  readonly maxChars: number;
  /** A tool call was sent: nothing is ever replayed after one. */
  toolCall: boolean;
  /** Log probabilities, or something else than text, or more text than is kept: it cannot be compared. */
  other: boolean;
  /** The choices that have their finish_reason. */
  readonly finished: Map<number, string>;
  /** The choices of which any chunk was sent, and with it the role. */
  readonly begun: Set<number>;
  /** Of the first chunk: it stays the same over the whole stream. */
  identity: Identity | undefined;
};

export const nothingShown = (maxChars = Infinity): Shown => ({
  texts: new Map(),
  chars: 0,
  tokens: 0,
  maxChars,
  toolCall: false,
  other: false,
  finished: new Map(),
  begun: new Set(),
  identity: undefined,
});

export const isNothing = (shown: Shown): boolean =>
  shown.texts.size === 0 && !shown.toolCall && !shown.other && shown.finished.size === 0;

/** The one text that a target could go on from; undefined when there is more, or none. */
export function plainText(shown: Shown): string | undefined {
  const text = shown.texts.get('0:content');
  return text !== undefined && shown.texts.size === 1 && !shown.other && !shown.toolCall
    ? text
    : undefined;
}

/** Characters of the texts that are kept. */
export const keptChars = ({ texts }: Shown): number =>
  texts.values().reduce((sum, { length }) => sum + length, 0);

export const key = (choice: number, channel: Channel): string => `${choice}:${channel}`;

/** Adds a text to a channel. An empty one is nothing. Returns its estimated tokens. */
export function addText(shown: Shown, where: string, text: string): number {
  if (text === '') return 0;
  const tokens = tokensIn(text);
  shown.chars += text.length;
  shown.tokens += tokens;
  if (shown.chars <= shown.maxChars) shown.texts.set(where, (shown.texts.get(where) ?? '') + text);
  else {
    shown.texts.clear();
    shown.other = true;
  }
  return tokens;
}

/** Adds what a chunk says. Changes `shown`; returns the estimated tokens that it added. */
export function addChunk(shown: Shown, chunk: unknown): number {
  if (!isObject(chunk)) return 0;
  const before = shown.tokens;
  shown.identity ??= identityOf(chunk);
  const choices = itemsOf(chunk['choices']);
  for (let place = 0; place < choices.length; place++) {
    const choice = choices[place];
    const delta = deltaOf(choice);
    if (!isObject(choice) || !delta) continue;
    const index = choiceIndex(choice, place);
    shown.begun.add(index);
    for (const [channel, text] of textsOf(delta)) addText(shown, key(index, channel), text);
    if (hasToolCall(delta)) {
      shown.toolCall = true;
      shown.tokens += tokensInCalls(delta);
    }
    if (isObject(choice['logprobs']) || hasOther(delta)) shown.other = true;
  }
  for (const { index, reason } of finishReasons(chunk)) shown.finished.set(index, reason);
  return shown.tokens - before;
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

export const hasFinish = (choice: Readonly<Record<string, unknown>>): boolean =>
  typeof choice['finish_reason'] === 'string' && choice['finish_reason'] !== '';

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';

/** Something visible that is no text: parts, audio, images. */
const hasOther = (delta: Readonly<Record<string, unknown>>): boolean =>
  Array.isArray(delta['content']) ||
  isObject(delta['audio']) ||
  itemsOf(delta['images']).length > 0 ||
  (reasoningPartFields.some((name) => itemsOf(delta[name]).length > 0) &&
    !reasoningTextFields.some((name) => isText(delta[name])));

function identityOf(chunk: Readonly<Record<string, unknown>>): Identity | undefined {
  const { id, created, model } = chunk;
  return id === undefined || id === '' ? undefined : { id, created, model };
}
