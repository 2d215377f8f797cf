import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import { invalid, RefusedError } from '../refused.ts';
import { callParts, resultPart } from './calls.ts';
import type { CalledNames } from './calls.ts';
import type { ModelTraits } from './models.ts';
import { assistantPart, contentParts, imagePart, textPart, userPart } from './parts.ts';
import type { Part } from './parts.ts';
import { signatureOf } from './signatures.ts';

/** One of Gemini's contents. */
export type Content = { role: 'user' | 'model'; parts: Part[] };

export type Conversation = {
  /** The texts of system and developer messages, whatever their position. */
  system: Part[];
  contents: Content[];
};

/**
 * Converts the messages to contents. Those of the same role in sequence are joined, but results of functions have a
 * content of their own, because Gemini compares their number with that of the calls.
 */
export function translateMessages(messages: unknown, traits: ModelTraits): Conversation {
  if (!Array.isArray(messages)) throw invalid('messages', 'must be an array');
  const conversation: Conversation = { system: [], contents: [] };
  const names: CalledNames = new Map();
  for (const [index, message] of (messages as unknown[]).entries()) {
    const param = `messages[${index}]`;
    if (!isJsonObject(message)) throw invalid(param, 'must be an object');
    addMessage(conversation, message, param, { traits, names });
  }
  const { contents, system } = conversation;
  if (contents.length === 0) {
    // OpenAI accepts instructions alone; Gemini requires a content.
    if (system.length === 0) throw invalid('messages', 'must have a content');
    contents.push({ role: 'user', parts: system.splice(0) });
  }
  return conversation;
}

type Context = { traits: ModelTraits; names: CalledNames };

function addMessage(
  { system, contents }: Conversation,
  message: Record<string, unknown>,
  param: string,
  { traits, names }: Context,
): void {
  const { role, content } = message;
  const place = `${param}.content`;
  switch (role) {
    case 'system':
    case 'developer':
      system.push(...contentParts(content, place, textPart));
      return;
    case 'user':
      addContent(contents, 'user', contentParts(content, place, userPart(traits)));
      return;
    case 'assistant':
      addContent(contents, 'model', assistantParts(message, param, { traits, names }));
      return;
    case 'tool':
      addResult(contents, resultPart(message, param, traits, names));
      return;
    default:
      throw new RefusedError(
        `${param}.role`,
        `Gemini's API has no messages of role '${shownText(role)}'.`,
      );
  }
}

function addContent(contents: Content[], role: Content['role'], parts: Part[]): void {
  if (parts.length === 0) return;
  const last = contents.at(-1);
  if (last?.role === role && !isResult(last.parts[0])) last.parts.push(...parts);
  else contents.push({ role, parts });
}

/** Results follow the content with their calls at once. */
function addResult(contents: Content[], result: Part): void {
  const place = contents.findLastIndex(({ role }) => role === 'model') + 1;
  const present = contents[place];
  if (present && isResult(present.parts[0])) present.parts.push(result);
  else contents.splice(place, 0, { role: 'user', parts: [result] });
}

const isResult = (part: Part | undefined): boolean => part?.['functionResponse'] !== undefined;

/** Thoughts are not sent back: Gemini needs their signatures only. */
function assistantParts(
  message: Record<string, unknown>,
  param: string,
  { traits, names }: Context,
): Part[] {
  const { content, refusal, images, tool_calls: calls, function_call: call } = message;
  if (call !== undefined && call !== null) {
    throw new RefusedError(`${param}.function_call`, "Use 'tool_calls' in its place.");
  }
  const said = contentParts(content, `${param}.content`, assistantPart);
  if (typeof refusal === 'string' && refusal !== '') said.push({ text: refusal });
  for (const [index, image] of itemsOf(images).entries()) {
    if (!isJsonObject(image)) continue;
    said.push(imagePart(image['image_url'], `${param}.images[${index}].image_url.url`, traits));
  }
  const last = said.at(-1);
  if (last) Object.assign(last, signatureOf(message));
  return [...said, ...callParts(calls, `${param}.tool_calls`, traits, names)];
}
