import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { reasoningPartFields, reasoningTextFields } from './chunk.ts';
import type { CompletionMessage } from './completion.ts';
import { keepField, keepLast, type Fields } from './fields.ts';
import { addToolCalls, addCallText, finishToolCalls, type ToolCallParts } from './tool-calls.ts';

/** A choice's message while it is assembled from deltas. */
export type MessageParts = { role: string; fields: Fields; toolCalls: ToolCallParts[] };

export const startMessage = (): MessageParts => ({
  role: 'assistant',
  fields: { content: null, refusal: null },
  toolCalls: [],
});

const textFields: ReadonlySet<string> = new Set(['content', 'refusal', ...reasoningTextFields]);

/** Lists that grow: with parts that are joined, or with items that stay separate. */
const partFields: ReadonlySet<string> = new Set(reasoningPartFields);
const listFields: ReadonlySet<string> = new Set(['annotations', 'images']);

export function addDelta(message: MessageParts, delta: JsonObject): void {
  for (const [field, value] of Object.entries(delta)) {
    if (field === 'role') {
      if (typeof value === 'string' && value !== '') message.role = value;
    } else if (field === 'tool_calls') {
      addToolCalls(message.toolCalls, itemsOf(value));
    } else if (field === 'function_call') {
      if (isJsonObject(value)) {
        addCallText(grow(message.fields, field, { name: '', arguments: '' }), value, 'arguments');
      }
    } else if (field === 'audio') {
      if (isJsonObject(value)) addAudio(grow(message.fields, field, {}), value);
    } else if (textFields.has(field) || partFields.has(field)) {
      addText(message.fields, field, value);
    } else if (listFields.has(field) && Array.isArray(value)) {
      addItems(message.fields, field, value);
    } else {
      keepField(message.fields, field, value);
    }
  }
}

export function finishMessage({ role, fields, toolCalls }: MessageParts): CompletionMessage {
  const { content, refusal, audio, ...others } = fields;
  return {
    role,
    content: typeof content === 'string' || Array.isArray(content) ? content : null,
    refusal: typeof refusal === 'string' && refusal !== '' ? refusal : null,
    ...others,
    ...(isJsonObject(audio) && { audio: finishAudio(audio) }),
    ...(toolCalls.length > 0 && { tool_calls: finishToolCalls(toolCalls) }),
  };
}

/** The object in one of our fields, created if it is missing. */
function grow(fields: Fields, field: string, empty: Fields): Fields {
  const present = fields[field];
  if (isJsonObject(present)) return present;
  fields[field] = empty;
  return empty;
}

/** Joins texts; if there are parts (Mistral's thinking models), the text becomes one of them. */
function addText(fields: Fields, field: string, value: unknown): void {
  const present = fields[field];
  if (Array.isArray(value)) {
    const parts: unknown[] = Array.isArray(present) ? present : [];
    if (typeof present === 'string' && present !== '') parts.push({ type: 'text', text: present });
    for (const part of value as unknown[]) addPart(parts, part);
    fields[field] = parts;
  } else if (typeof value !== 'string') {
    if (!isJsonObject(present) && typeof present !== 'string') keepField(fields, field, value);
  } else if (Array.isArray(present)) {
    if (value !== '') addPart(present as unknown[], { type: 'text', text: value });
  } else {
    fields[field] = typeof present === 'string' ? present + value : value;
  }
}

function addItems(fields: Fields, field: string, more: readonly unknown[]): void {
  const present = fields[field];
  if (!Array.isArray(present)) fields[field] = [...more];
  else for (const item of more) present.push(item);
}

/** The text fields of a typed part in the formats of OpenAI, OpenRouter, Mistral and Anthropic. */
const partTexts = ['text', 'summary', 'thinking'] as const;
const partTextSet: ReadonlySet<string> = new Set(partTexts);

/** Adds a copy of a part. Parts within parts are joined too, but no deeper: hostile nesting must not recurse. */
function addPart(parts: unknown[], part: unknown, depth = 0): void {
  const last = parts.at(-1);
  if (!isJsonObject(part)) {
    if (part !== null && part !== '') parts.push(part);
  } else if (isJsonObject(last) && continues(part, last)) {
    extendPart(last, part, depth);
  } else {
    const copy: Fields = {};
    extendPart(copy, part, depth);
    parts.push(copy);
  }
}

/** Whether a part continues the same text, or is its signature. An image or encrypted data is always complete. */
function continues(part: JsonObject, last: JsonObject): boolean {
  const sameThing =
    part.type === last.type &&
    part.index === last.index &&
    (part.id === last.id || !part.id || !last.id);
  const isText = (value: JsonObject) => partTexts.some((field) => value[field] !== undefined);
  return sameThing && isText(last) && (isText(part) || part.signature !== undefined);
}

function extendPart(target: Fields, part: JsonObject, depth: number): void {
  keepLast(target, part, partTextSet);
  for (const field of partTexts) {
    const more = part[field];
    const present = target[field];
    if (Array.isArray(more)) {
      const list: unknown[] = Array.isArray(present) ? present : [];
      for (const item of more as unknown[]) {
        if (depth === 0) addPart(list, item, depth + 1);
        else list.push(item);
      }
      target[field] = list;
    } else if (typeof more === 'string') {
      target[field] = typeof present === 'string' ? present + more : more;
    } else if (more !== undefined) {
      keepField(target, field, more);
    }
  }
}

const audioTexts: ReadonlySet<string> = new Set(['data', 'transcript']);

function addAudio(audio: Fields, delta: JsonObject): void {
  for (const field of audioTexts) {
    const more = delta[field];
    const present = audio[field];
    if (typeof more === 'string')
      audio[field] = typeof present === 'string' ? present + more : more;
  }
  keepLast(audio, delta, audioTexts);
}

/** Each delta's data is base64 of its own, so there may be padding in the middle of the joined text. */
function finishAudio(audio: JsonObject): Fields {
  if (typeof audio.data !== 'string') return { ...audio };
  const pieces = audio.data.split(/(?<==)(?!=)/);
  if (pieces.length === 1) return { ...audio };
  const bytes = Buffer.concat(pieces.map((piece) => Buffer.from(piece, 'base64')));
  return { ...audio, data: bytes.toString('base64') };
}
