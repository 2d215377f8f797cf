/*
 * Reads one `chat.completion.chunk`, for every decision that is made per chunk. A chunk is the parsed JSON of
 * a provider's event, so it can be anything: nothing here throws, and nothing allocates unless there is
 * something to report. About half of real streams violate OpenAI's schema.
 */

import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';

const none: readonly never[] = Object.freeze([]);

/** Delta fields with reasoning as a text to be appended, by provider. */
export const reasoningTextFields = [
  'reasoning_content', // DeepSeek, Moonshot, Z.ai, xAI, older vLLM, SGLang
  'reasoning', // OpenRouter, Groq, Ollama, vLLM
  'reasoning_text',
  'thinking',
  'thought',
] as const;

/** Delta fields with reasoning as a list of typed parts. */
export const reasoningPartFields = [
  'reasoning_details', // OpenRouter
  'thinking_blocks', // LiteLLM
] as const;

/**
 * The member of a delta with an event of an API that has no inner form (pass-through/events.ts): visible, and nothing can continue it. No
 * provider has a member of this name.
 */
export const opaqueMember = 'x_millrace_opaque';

/** `visible`: a choice has content, refusal, reasoning or a tool call, even one character. */
export type Visibility = 'visible' | 'empty';

/**
 * Whether a reader of this chunk has seen a part of the answer. A role, an empty delta, a finish_reason,
 * usage and fields that no reader shows do not count.
 */
export function visibility(chunk: unknown): Visibility {
  if (!isJsonObject(chunk)) return 'empty';
  const choices = itemsOf(chunk.choices);
  for (let n = 0; n < choices.length; n++) {
    if (isVisibleDelta(deltaOf(choices[n]))) return 'visible';
  }
  return 'empty';
}

/**
 * What a choice adds. `message` counts only if there is no delta: some providers (Perplexity) send the whole
 * message so far beside it, others a whole answer as a stream's only event.
 */
export function deltaOf(choice: unknown): JsonObject | undefined {
  if (!isJsonObject(choice)) return undefined;
  if (isJsonObject(choice.delta)) return choice.delta;
  return isJsonObject(choice.message) ? choice.message : undefined;
}

/**
 * Whether everything in it that can contain a part of the answer has a readable type: `choices` and
 * `tool_calls` are lists of objects, a delta is an object, its content a text or a list of parts. Absent and
 * null values are always readable.
 */
export function isReadable(chunk: JsonObject): boolean {
  const { choices } = chunk;
  return isNothing(choices) || (Array.isArray(choices) && choices.every(isReadableChoice));
}

function isReadableChoice(choice: unknown): boolean {
  if (isNothing(choice)) return true;
  if (!isJsonObject(choice)) return false;
  const said = choice.delta ?? choice.message;
  return isNothing(said) || (isJsonObject(said) && isReadableDelta(said));
}

function isReadableDelta({ content, tool_calls: calls, function_call: call }: JsonObject): boolean {
  const hasText = isNothing(content) || typeof content === 'string' || Array.isArray(content);
  const hasCalls = isNothing(calls) || (Array.isArray(calls) && calls.every(isReadableCall));
  return hasText && hasCalls && isObjectOrNothing(call);
}

const isReadableCall = (call: unknown): boolean =>
  isNothing(call) ||
  (isJsonObject(call) && isObjectOrNothing(call.function) && isObjectOrNothing(call.custom));

const isNothing = (value: unknown): boolean => value === undefined || value === null;
const isObjectOrNothing = (value: unknown): boolean => isNothing(value) || isJsonObject(value);

function isVisibleDelta(delta: JsonObject | undefined): boolean {
  if (delta === undefined) return false;
  if (typeof delta.content === 'string' && delta.content !== '') return true;
  return (
    hasReasoning(delta) ||
    says(delta.tool_calls) ||
    says(delta.function_call) ||
    says(delta.refusal) ||
    says(delta.content) ||
    isJsonObject(delta[opaqueMember]) ||
    says(delta.audio) ||
    says(delta.images)
  );
}

/** The text of a chunk that only adds text to the first choice's content. */
export function plainContent(chunk: unknown): string | undefined {
  const choices = isJsonObject(chunk) ? itemsOf(chunk.choices) : none;
  const choice = choices[0];
  const delta = deltaOf(choice);
  if (choices.length !== 1 || !isJsonObject(choice) || !delta) return undefined;
  if (typeof delta.content !== 'string' || delta.content === '') return undefined;
  const saysMore =
    choiceIndex(choice, 0) !== 0 ||
    typeof choice.finish_reason === 'string' ||
    isJsonObject(choice.logprobs) ||
    hasToolCall(delta) ||
    isVisibleDelta({ ...delta, content: '' });
  return saysMore ? undefined : delta.content;
}

/** Whether the delta has a tool call (or the older `function_call`), even an empty one. */
export function hasToolCall(delta: JsonObject): boolean {
  if (isJsonObject(delta.function_call)) return true;
  const calls = itemsOf(delta.tool_calls);
  for (let n = 0; n < calls.length; n++) if (isJsonObject(calls[n])) return true;
  return false;
}

function hasReasoning(delta: JsonObject): boolean {
  for (let n = 0; n < reasoningTextFields.length; n++) {
    if (says(delta[reasoningTextFields[n]!])) return true;
  }
  for (let n = 0; n < reasoningPartFields.length; n++) {
    if (says(delta[reasoningPartFields[n]!])) return true;
  }
  return false;
}

/** No provider nests content deeper; what lies deeper counts as content. */
const MAX_DEPTH = 6;

/** Fields of a typed part that identify it and are not content. */
const isLabel = (field: string): boolean =>
  field === 'type' || field === 'format' || field === 'id' || field === 'role';

/** Whether there is a non-empty text, at the top or in a part: `[{"type":"text","text":""}]` has none. */
function says(value: unknown, depth = 0): boolean {
  if (typeof value === 'string') return value !== '';
  if (typeof value !== 'object' || value === null) return false;
  if (depth === MAX_DEPTH) return true;
  const items = itemsOf(value);
  for (let n = 0; n < items.length; n++) if (says(items[n], depth + 1)) return true;
  if (!isJsonObject(value)) return false;
  for (const field in value) {
    if (!isLabel(field) && says(value[field], depth + 1)) return true;
  }
  return false;
}

/** Whether the choice has its end. An empty finish_reason does not count. */
export const hasFinish = ({ finish_reason: reason }: JsonObject): boolean =>
  typeof reason === 'string' && reason !== '';

export type FinishReason = { readonly index: number; readonly reason: string };

/** The choices that this chunk ends; usually none (then always the same empty array). */
export function finishReasons(chunk: unknown): readonly FinishReason[] {
  if (!isJsonObject(chunk)) return none;
  const choices = itemsOf(chunk.choices);
  let found: FinishReason[] | undefined;
  for (let n = 0; n < choices.length; n++) {
    const choice = choices[n];
    if (!isJsonObject(choice)) continue;
    const reason = choice.finish_reason;
    if (typeof reason !== 'string' || reason === '') continue;
    (found ??= []).push({ index: choiceIndex(choice, n), reason });
  }
  return found ?? none;
}

/** A choice's own index, or its position in the chunk if the index is unusable. */
export function choiceIndex(choice: JsonObject, place: number): number {
  const { index } = choice;
  return typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 ? index : place;
}

/**
 * The provider's usage object, its numbers unchecked. Groq (`x_groq`) and Moonshot (in the choice) have put
 * it elsewhere, so these places are read, too.
 */
export function usageOf(chunk: unknown): JsonObject | undefined {
  if (!isJsonObject(chunk)) return undefined;
  if (isJsonObject(chunk.usage)) return chunk.usage;
  if (isJsonObject(chunk.x_groq) && isJsonObject(chunk.x_groq.usage)) return chunk.x_groq.usage;
  const choice = itemsOf(chunk.choices)[0];
  return isJsonObject(choice) && isJsonObject(choice.usage) ? choice.usage : undefined;
}

/** The chunk that `stream_options.include_usage` asks for: usage and no choices. */
export function isUsageOnly(chunk: unknown): boolean {
  return (
    isJsonObject(chunk) &&
    itemsOf(chunk.choices).length === 0 &&
    errorOf(chunk) === undefined &&
    usageOf(chunk) !== undefined
  );
}

/**
 * The error in an event, instead of or beside a part of the answer: `error` at the top (OpenAI, Groq,
 * OpenRouter) or in a choice (OpenRouter), or the event itself with `"object":"error"` (older vLLM). A plain
 * text becomes `{ message }`.
 */
export function errorOf(chunk: unknown): JsonObject | undefined {
  if (!isJsonObject(chunk)) return undefined;
  const error = asError(chunk.error);
  if (error !== undefined) return error;
  if (chunk.object === 'error') return chunk;
  const choices = itemsOf(chunk.choices);
  for (let n = 0; n < choices.length; n++) {
    const choice = choices[n];
    const inChoice = isJsonObject(choice) ? asError(choice.error) : undefined;
    if (inChoice !== undefined) return inChoice;
  }
  return undefined;
}

function asError(value: unknown): JsonObject | undefined {
  if (isJsonObject(value)) return value;
  return typeof value === 'string' && value !== '' ? { message: value } : undefined;
}
