import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import { createCallIds, toolUseBlock } from './calls.ts';
import type { CallIds } from './calls.ts';
import type { ModelTraits } from './models.ts';
import {
  assistantPart,
  contentBlocks,
  textBlock,
  textPart,
  userPart,
  withCacheControl,
  withoutTrailingSpace,
} from './parts.ts';
import type { Block } from './parts.ts';
import { invalid, RefusedError } from '../refused.ts';

export type Turn = { role: 'user' | 'assistant'; content: Block[] };

export type Conversation = {
  /** The contents of system and developer messages, whatever their position. */
  system: Block[];
  turns: Turn[];
  /** The last turn is the assistant's: the answer continues it. */
  prefilled: boolean;
  /** The names of the functions called in the conversation. */
  called: Set<string>;
  /** The assistant called tools, and the thoughts before the calls are missing. */
  hasThoughtlessCalls: boolean;
};

/**
 * Converts the messages to alternating turns. Anthropic requires the results of tools before everything else
 * in the turn after the calls, and accepts no empty text.
 */
export function translateMessages(messages: unknown, traits: ModelTraits): Conversation {
  if (!Array.isArray(messages)) throw invalid('messages', 'must be an array');
  const ids = createCallIds();
  const conversation: Conversation = {
    system: [],
    turns: [],
    prefilled: false,
    called: new Set(),
    hasThoughtlessCalls: false,
  };
  for (const [index, message] of (messages as unknown[]).entries()) {
    const param = `messages[${index}]`;
    if (!isJsonObject(message)) throw invalid(param, 'must be an object');
    addMessage(conversation, message, param, ids);
  }
  const { turns, system } = conversation;
  for (const turn of turns) if (turn.role === 'user') turn.content = resultsFirst(turn.content);
  if (turns.length === 0) {
    // OpenAI accepts instructions alone; Anthropic requires a user turn.
    if (system.length === 0) throw invalid('messages', 'must have a content');
    turns.push({ role: 'user', content: system.splice(0) });
  }
  conversation.prefilled = endPrefill(turns, traits);
  return conversation;
}

function addMessage(
  conversation: Conversation,
  message: Record<string, unknown>,
  param: string,
  ids: CallIds,
): void {
  const { role, content } = message;
  const place = `${param}.content`;
  switch (role) {
    case 'system':
    case 'developer':
      conversation.system.push(...marked(contentBlocks(content, place, textPart), message));
      return;
    case 'user':
      addTurn(conversation.turns, role, marked(contentBlocks(content, place, userPart), message));
      return;
    case 'assistant':
      addTurn(conversation.turns, role, assistantBlocks(conversation, message, param, ids));
      return;
    case 'tool':
      addTurn(conversation.turns, 'user', [toolResult(message, param, ids)]);
      return;
    default:
      throw new RefusedError(
        `${param}.role`,
        `Anthropic's API has no messages of role '${shownText(role)}'.`,
      );
  }
}

function addTurn(turns: Turn[], role: Turn['role'], content: Block[]): void {
  if (content.length === 0) return;
  const last = turns.at(-1);
  if (last?.role === role) last.content.push(...content);
  else turns.push({ role, content });
}

function assistantBlocks(
  conversation: Conversation,
  message: Record<string, unknown>,
  param: string,
  ids: CallIds,
): Block[] {
  const thoughts = thinkingBlocks(message['thinking_blocks']);
  const said = contentBlocks(message['content'], `${param}.content`, assistantPart);
  const refusal = message['refusal'];
  if (typeof refusal === 'string' && refusal.trim() !== '') said.push(textBlock(refusal));
  const calls: Block[] = [];
  const asked = message['tool_calls'] ?? [];
  if (!Array.isArray(asked)) throw invalid(`${param}.tool_calls`, 'must be an array');
  for (const [index, call] of (asked as unknown[]).entries()) {
    const block = toolUseBlock(call, `${param}.tool_calls[${index}]`, ids);
    conversation.called.add(block.name);
    calls.push(block);
  }
  if (message['function_call'] !== undefined && message['function_call'] !== null) {
    throw new RefusedError(`${param}.function_call`, "Use 'tool_calls' in its place.");
  }
  if (calls.length > 0 && thoughts.length === 0) conversation.hasThoughtlessCalls = true;
  return [...thoughts, ...marked([...said, ...calls], message)];
}

/** The thoughts of an earlier answer, unchanged, because they are signed. */
function thinkingBlocks(blocks: unknown): Block[] {
  if (!Array.isArray(blocks)) return [];
  return (blocks as unknown[]).flatMap((block): Block[] => {
    if (!isJsonObject(block)) return [];
    const { type, thinking, signature, data } = block;
    if (type === 'redacted_thinking' && typeof data === 'string') return [{ type, data }];
    if (type !== 'thinking' || typeof signature !== 'string' || signature === '') return [];
    return [{ type, thinking: typeof thinking === 'string' ? thinking : '', signature }];
  });
}

function toolResult(message: Record<string, unknown>, param: string, ids: CallIds): Block {
  const content = contentBlocks(message['content'], `${param}.content`, userPart);
  const result: Block = {
    type: 'tool_result',
    tool_use_id: ids.clean(message['tool_call_id'], `${param}.tool_call_id`),
  };
  if (content.length > 0) result['content'] = content;
  return withCacheControl(result, message);
}

function resultsFirst(content: Block[]): Block[] {
  const isResult = ({ type }: Block) => type === 'tool_result';
  return [...content.filter(isResult), ...content.filter((block) => !isResult(block))];
}

/** A message's `cache_control` belongs to its last block. */
function marked(blocks: Block[], message: Record<string, unknown>): Block[] {
  const last = blocks.at(-1);
  return last ? [...blocks.slice(0, -1), withCacheControl(last, message)] : blocks;
}

/**
 * For Anthropic a trailing assistant message is the beginning of the answer; it must not end in white space.
 * Returns whether there is one.
 */
function endPrefill(turns: Turn[], { prefill }: ModelTraits): boolean {
  const last = turns.at(-1);
  const block = last?.content.at(-1);
  if (!last || last.role === 'user' || block?.type !== 'text') return false;
  if (!prefill) {
    throw new RefusedError(
      'messages',
      'The last message is of the assistant, and the model does not go on from one.',
    );
  }
  last.content[last.content.length - 1] = {
    ...block,
    text: withoutTrailingSpace(String(block['text'])),
  };
  return true;
}
