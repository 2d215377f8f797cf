import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { Inexpressible } from '../../inexpressible.ts';
import { textOf } from '../../openai-chat/tool-calls.ts';
import { member } from './names.ts';

/** The system instruction and the contents as messages of the inner form. */
export function innerMessages(
  system: unknown,
  contents: readonly unknown[],
  lost: Inexpressible,
): JsonObject[] {
  const instructions = typeof system === 'string' ? system : instructionsOf(partsOf(system), lost);
  const messages: JsonObject[] =
    instructions === '' ? [] : [{ role: 'system', content: instructions }];
  const calls = new OpenCalls();
  for (const [index, content] of contents.entries()) {
    const param = `contents[${index}]`;
    if (!isJsonObject(content)) throw new InvalidRequest(param, `Invalid value at '${param}'.`);
    const parts = partsOf(content);
    if (parts.length === 0) {
      const place = `${param}.parts`;
      throw new InvalidRequest(
        place,
        `* GenerateContentRequest.${place}: contents.parts must not be empty.`,
      );
    }
    const role = content['role'] || 'user';
    if (role === 'model') {
      const said = modelMessage(parts, param, { calls, lost });
      const last = messages.at(-1);
      // Chats of Google's SDKs send an answer that was streamed as a content for each of its events.
      if (said && last?.['role'] === 'assistant')
        messages[messages.length - 1] = joined(last, said);
      else if (said) messages.push(said);
    } else if (role === 'user' || role === 'function') {
      messages.push(...userMessages(parts, param, { calls, lost }));
    } else {
      throw new InvalidRequest(`${param}.role`, 'Please use a valid role: user, model.');
    }
  }
  return messages;
}

type Context = { calls: OpenCalls; lost: Inexpressible };

/** Calls without a result so far. Older models give a call no id: its result has the same name, in the same order. */
class OpenCalls {
  private readonly open: { id: string; name: string; isNamed: boolean }[] = [];
  private count = 0;

  add(id: unknown, name: string): string {
    this.count += 1;
    const isNamed = typeof id === 'string' && id !== '';
    const known = isNamed ? id : `call_${this.count}`;
    this.open.push({ id: known, name, isNamed });
    return known;
  }

  take(id: unknown, name: string): string {
    const hasId = typeof id === 'string' && id !== '';
    const byId = hasId ? this.open.findIndex((call) => call.isNamed && call.id === id) : -1;
    const isOwn = (call: { name: string; isNamed: boolean }) =>
      call.name === name && !(hasId && call.isNamed);
    const place = byId < 0 ? this.open.findIndex(isOwn) : byId;
    const [call] = place < 0 ? [] : this.open.splice(place, 1);
    return call?.id ?? (hasId ? id : `call_${name}`);
  }
}

const partsOf = (content: unknown): JsonObject[] => {
  if (!isJsonObject(content)) return [];
  const { parts } = content;
  return (isJsonObject(parts) ? [parts] : itemsOf(parts)).filter(isJsonObject);
};

const instructionsOf = (parts: readonly JsonObject[], lost: Inexpressible): string =>
  parts
    .map(({ text }, index) => {
      if (typeof text === 'string') return text;
      lost.add(`systemInstruction.parts[${index}]`, 'such a part');
      return '';
    })
    .join('');

/** One message of two that follow each other. */
function joined(first: JsonObject, second: JsonObject): JsonObject {
  const texts = [first['content'], second['content']].filter((one) => typeof one === 'string');
  const calls = [...itemsOf(first['tool_calls']), ...itemsOf(second['tool_calls'])];
  return {
    ...first,
    ...second,
    content: texts.length > 0 ? texts.join('') : null,
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

/** Thoughts are dropped, but for their signatures, which a Gemini target checks. Undefined: nothing else is there. */
function modelMessage(
  parts: readonly JsonObject[],
  param: string,
  { calls, lost }: Context,
): JsonObject | undefined {
  let text = '';
  let signature: unknown;
  const made: JsonObject[] = [];
  for (const [index, part] of parts.entries()) {
    const call = member(part, 'functionCall');
    const signed = member(part, 'thoughtSignature');
    if (isJsonObject(call)) {
      const { name, args, id } = call;
      const place = `${param}.parts[${index}].function_call`;
      if (typeof name !== 'string') {
        throw new InvalidRequest(place, `Invalid value at '${place}.name'.`);
      }
      made.push({
        id: calls.add(id, name),
        type: 'function',
        function: { name, arguments: JSON.stringify(args ?? {}) },
        ...extraOf(signed),
      });
    } else if (typeof part['text'] === 'string' || isMark(part)) {
      if (part['thought'] !== true) text += textOf(part['text']);
      signature = signed ?? signature;
    } else {
      lost.add(`${param}.parts[${index}]`, 'such parts in an answer of the model');
    }
  }
  if (text === '' && made.length === 0) return undefined;
  return {
    role: 'assistant',
    content: text === '' ? null : text,
    ...(made.length > 0 && { tool_calls: made }),
    ...extraOf(signature),
  };
}

/** A part that only has the signature of thoughts. */
const isMark = (part: JsonObject): boolean =>
  Object.keys(part).every((name) => /^(?:thought|thoughtSignature|thought_signature)$/.test(name));

const extraOf = (signature: unknown): JsonObject =>
  typeof signature === 'string' && signature !== ''
    ? { extra_content: { google: { thought_signature: signature } } }
    : {};

function userMessages(
  parts: readonly JsonObject[],
  param: string,
  { calls, lost }: Context,
): JsonObject[] {
  const results: JsonObject[] = [];
  const rest: JsonObject[] = [];
  for (const [index, part] of parts.entries()) {
    const place = `${param}.parts[${index}]`;
    const result = member(part, 'functionResponse');
    if (isJsonObject(result)) {
      const { id, name, response, parts: media } = result;
      const called = calls.take(id, shownText(name));
      results.push({ role: 'tool', tool_call_id: called, content: resultText(response) });
      for (const one of itemsOf(media))
        if (isJsonObject(one)) rest.push(...userPart(one, place, lost));
    } else rest.push(...userPart(part, place, lost));
  }
  if (rest.length === 0) return results;
  const only = rest.length === 1 ? rest[0] : undefined;
  const content = only?.['type'] === 'text' ? only['text'] : rest;
  return [...results, { role: 'user', content }];
}

/** By Google's rule a single `output` is the result itself. */
function resultText(response: unknown): string {
  if (!isJsonObject(response)) return typeof response === 'string' ? response : '';
  const { output } = response;
  const isOutput = typeof output === 'string' && Object.keys(response).length === 1;
  return isOutput ? output : JSON.stringify(response);
}

function userPart(part: JsonObject, param: string, lost: Inexpressible): JsonObject[] {
  const { text } = part;
  if (typeof text === 'string') return text === '' ? [] : [{ type: 'text', text }];
  const inline = member(part, 'inlineData');
  if (isJsonObject(inline)) return [inlinePart(inline, param)];
  const file = member(part, 'fileData');
  if (isJsonObject(file)) {
    const url = member(file, 'fileUri');
    const type = textIn(file, 'mimeType') || 'image/';
    if (typeof url === 'string' && /^https?:/.test(url) && type.startsWith('image/')) {
      return [{ type: 'image_url', image_url: { url } }];
    }
  }
  lost.add(param, 'such a part');
  return [];
}

/** Empty if it is no text. */
function textIn(source: JsonObject, name: string): string {
  const value = member(source, name);
  return typeof value === 'string' ? value : '';
}

/** OpenAI's two audio formats by their media types. */
const audioFormats: Readonly<Record<string, string>> = {
  'audio/wav': 'wav',
  'audio/x-wav': 'wav',
  'audio/mp3': 'mp3',
  'audio/mpeg': 'mp3',
};

function inlinePart(inline: JsonObject, param: string): JsonObject {
  const type = textIn(inline, 'mimeType').toLowerCase();
  const { data } = inline;
  if (typeof data !== 'string') {
    const place = `${param}.inline_data.data`;
    throw new InvalidRequest(place, `Invalid value at '${place}'.`);
  }
  const url = `data:${type};base64,${data}`;
  if (type.startsWith('image/')) return { type: 'image_url', image_url: { url } };
  const format = Object.hasOwn(audioFormats, type) ? audioFormats[type] : undefined;
  if (format !== undefined) return { type: 'input_audio', input_audio: { data, format } };
  const filename = `file.${type.split('/')[1] ?? 'bin'}`;
  return { type: 'file', file: { filename, file_data: url } };
}
