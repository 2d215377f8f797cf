import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { choiceIndex, usageOf } from './chunk.ts';
import { addDelta, finishMessage, startMessage, type MessageParts } from './completion-message.ts';
import { keepLast, type Fields } from './fields.ts';

export type CompletionMessage = {
  role: string;
  /** Parts, if the provider sent parts. */
  content: string | unknown[] | null;
  refusal: string | null;
  tool_calls?: JsonObject[];
  function_call?: JsonObject;
  [field: string]: unknown;
};

export type CompletionChoice = {
  index: number;
  message: CompletionMessage;
  logprobs: JsonObject | null;
  /** Null if the stream broke off. */
  finish_reason: string | null;
  [field: string]: unknown;
};

/** OpenAI's answer to a call without `stream`, including the provider's own fields. */
export type ChatCompletion = {
  id: string;
  object: 'chat.completion';
  /** Seconds since the epoch. */
  created: number;
  model: string;
  choices: CompletionChoice[];
  usage?: JsonObject;
  [field: string]: unknown;
};

type ChoiceParts = {
  index: number;
  message: MessageParts;
  hasDelta: boolean;
  logprobs: Fields | null;
  finishReason: string | null;
  others: Fields;
};

const topFields = new Set(['id', 'object', 'created', 'model', 'choices', 'usage', 'obfuscation']);
const choiceFields = new Set([
  'index',
  'delta',
  'message',
  'logprobs',
  'finish_reason',
  'usage',
  'text', // Together repeats the delta's content in it
]);

/**
 * Assembles a `chat.completion` from a stream's `chat.completion.chunk`s as they arrive. Accepts anything
 * that providers send and never throws; a chunk is neither modified nor kept, only values in it are.
 *
 * `id`, `created` and `model` are the first non-empty ones (Azure begins with empty ones). Of fields that are
 * not OpenAI's the last non-empty value is kept.
 */
export type CompletionAssembly = {
  add(chunk: unknown): void;
  /** Undefined if none of them had a choice. */
  result(): ChatCompletion | undefined;
};

export function createAssembly(): CompletionAssembly {
  const choices = new Map<number, ChoiceParts>();
  const others: Fields = {};
  let id = '';
  let model = '';
  let created = 0;
  let usage: JsonObject | undefined;
  return {
    add(chunk) {
      if (!isJsonObject(chunk)) return;
      if (id === '' && typeof chunk.id === 'string') id = chunk.id;
      if (model === '' && typeof chunk.model === 'string') model = chunk.model;
      if (created === 0 && typeof chunk.created === 'number') created = chunk.created;
      usage = usageOf(chunk) ?? usage;
      itemsOf(chunk.choices).forEach((choice, place) => addChoice(choices, choice, place));
      keepLast(others, chunk, topFields);
    },
    result() {
      if (choices.size === 0) return undefined;
      return {
        id,
        object: 'chat.completion',
        created,
        model,
        choices: [...choices.values()].toSorted((a, b) => a.index - b.index).map(finishChoice),
        ...(usage && { usage }),
        ...others,
      };
    },
  };
}

/** Assembles a completion from given chunks. */
export function assembleCompletion(chunks: Iterable<unknown>): ChatCompletion | undefined {
  const assembly = createAssembly();
  for (const chunk of chunks) assembly.add(chunk);
  return assembly.result();
}

function addChoice(choices: Map<number, ChoiceParts>, choice: unknown, place: number): void {
  if (!isJsonObject(choice)) return;
  const index = choiceIndex(choice, place);
  let parts = choices.get(index);
  if (!parts) {
    parts = {
      index,
      message: startMessage(),
      hasDelta: false,
      logprobs: null,
      finishReason: null,
      others: {},
    };
    choices.set(index, parts);
  }
  if (isJsonObject(choice.delta)) {
    parts.hasDelta = true;
    addDelta(parts.message, choice.delta);
  } else if (isJsonObject(choice.message) && !parts.hasDelta) {
    // Without deltas, each message is the complete one so far.
    parts.message = startMessage();
    addDelta(parts.message, choice.message);
  }
  if (isJsonObject(choice.logprobs))
    addLogprobs((parts.logprobs ??= newLogprobs()), choice.logprobs);
  const reason = choice.finish_reason;
  if (typeof reason === 'string' && reason !== '') parts.finishReason = reason;
  keepLast(parts.others, choice, choiceFields);
}

const newLogprobs = (): Fields => ({ content: null, refusal: null });

const noFields: ReadonlySet<string> = new Set();

function addLogprobs(logprobs: Fields, more: JsonObject): void {
  const others: Fields = {};
  for (const [field, value] of Object.entries(more)) {
    const list = logprobs[field];
    if (!Array.isArray(value)) others[field] = value;
    else if (Array.isArray(list)) for (const token of value as unknown[]) list.push(token);
    else logprobs[field] = [...(value as unknown[])];
  }
  keepLast(logprobs, others, noFields);
}

function finishChoice(parts: ChoiceParts): CompletionChoice {
  return {
    index: parts.index,
    message: finishMessage(parts.message),
    logprobs: parts.logprobs,
    finish_reason: parts.finishReason,
    ...parts.others,
  };
}
