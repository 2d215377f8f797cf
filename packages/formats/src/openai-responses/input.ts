import { createHash } from 'node:crypto';
import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import { invalid, RefusedError } from '../refused.ts';
import { assistantPart, instructionPart, translateContent, userPart } from './parts.ts';
import { reasoningItems } from './reasoning.ts';

type Json = Readonly<Record<string, unknown>>;

/** An item of the Responses API's input. */
export type Item = Record<string, unknown>;

/** Characters of a `call_id`. */
const maxCallId = 64;

/** The messages of a chat completion request as input items, in their order. */
export function translateMessages(messages: unknown): Item[] {
  if (!Array.isArray(messages)) throw invalid('messages', 'must be an array');
  if (messages.length === 0) throw invalid('messages', 'must have a message');
  /** The ids of calls of custom tools: their results have a type of their own. */
  const custom = new Set<unknown>();
  return (messages as unknown[]).flatMap((message, index) => {
    const param = `messages[${index}]`;
    if (!isJsonObject(message)) throw invalid(param, 'must be an object');
    return translateMessage(message, param, custom);
  });
}

function translateMessage(message: Json, param: string, custom: Set<unknown>): Item[] {
  const { role, content } = message;
  const place = `${param}.content`;
  switch (role) {
    case 'system':
    case 'developer':
      return [{ role, content: translateContent(content, place, instructionPart) ?? '' }];
    case 'user':
      return [{ role, content: translateContent(content, place, userPart) ?? '' }];
    case 'assistant':
      return assistantItems(message, param, custom);
    case 'tool':
      return [toolOutput(message, param, custom)];
    default:
      throw new RefusedError(
        `${param}.role`,
        `The Responses API has no messages of role '${shownText(role)}'.`,
      );
  }
}

/** A message has its reasoning first, then its text, then its calls: a chat completion does not know their real order. */
function assistantItems(message: Json, param: string, custom: Set<unknown>): Item[] {
  const { content, refusal, tool_calls: calls, function_call: legacy, phase } = message;
  if (legacy !== undefined && legacy !== null) {
    throw new RefusedError(`${param}.function_call`, "Use 'tool_calls' in its place.");
  }
  const said = translateContent(content, `${param}.content`, assistantPart);
  const hasRefusal = typeof refusal === 'string' && refusal !== '';
  const parts = typeof said === 'string' ? [{ type: 'output_text', text: said }] : (said ?? []);
  const all = hasRefusal ? [...parts, { type: 'refusal', refusal }] : parts;
  const text = all.filter((part) => part['text'] !== '');
  const item = { role: 'assistant', content: text, ...(phase !== undefined && { phase }) };
  return [
    ...reasoningItems(message['reasoning_details']),
    ...(text.length > 0 ? [item] : []),
    ...callItems(calls ?? [], `${param}.tool_calls`, custom),
  ];
}

function callItems(calls: unknown, param: string, custom: Set<unknown>): Item[] {
  if (!Array.isArray(calls)) throw invalid(param, 'must be an array');
  return (calls as unknown[]).map((call, index) => {
    const place = `${param}[${index}]`;
    if (!isJsonObject(call)) throw invalid(place, 'must be an object');
    const call_id = callId(call['id'], `${place}.id`);
    const { function: called, custom: free } = call;
    if (call['type'] === 'custom' && isJsonObject(free)) {
      custom.add(call['id']);
      const { name, input } = free;
      return { type: 'custom_tool_call', call_id, name: nameOf(name, `${place}.custom`), input };
    }
    if (!isJsonObject(called)) throw invalid(`${place}.function`, 'must be an object');
    const name = nameOf(called['name'], `${place}.function`);
    return { type: 'function_call', call_id, name, arguments: argumentsOf(called['arguments']) };
  });
}

function nameOf(name: unknown, param: string): string {
  if (typeof name !== 'string') throw invalid(`${param}.name`, 'must be a text');
  return name;
}

const argumentsOf = (text: unknown): string =>
  typeof text === 'string' ? text || '{}' : JSON.stringify(text ?? {});

/** Another provider's id can be too long: its hash replaces it, the same for the call and for its result. */
function callId(id: unknown, param: string): string {
  if (typeof id !== 'string') throw invalid(param, 'must be a text');
  if (id.length <= maxCallId) return id;
  return `call_${createHash('sha256').update(id).digest('hex').slice(0, 32)}`;
}

function toolOutput(message: Json, param: string, custom: ReadonlySet<unknown>): Item {
  const id = message['tool_call_id'];
  const output = translateContent(message['content'], `${param}.content`, userPart);
  return {
    type: custom.has(id) ? 'custom_tool_call_output' : 'function_call_output',
    call_id: callId(id, `${param}.tool_call_id`),
    output: output ?? '',
  };
}

/**
 * Marks a trailing assistant message as the beginning of the answer, as vLLM continues one. OpenAI's models do not: the config
 * has to say that a target does.
 */
export function markPrefill(items: readonly Item[]): Item[] {
  const last = items.at(-1);
  if (last?.['role'] !== 'assistant') {
    throw invalid('messages', 'must end with the beginning of the answer');
  }
  return [...items.slice(0, -1), { ...last, status: 'in_progress' }];
}
