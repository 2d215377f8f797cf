import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { parseExactly } from '../exact-json.ts';
import type { NativeCall, ProviderCall } from '../port.ts';
import { createCallIds } from './calls.ts';
import type { CallIds } from './calls.ts';
import { withoutTrailingSpace } from './parts.ts';
import { refusePrefill } from './prefill.ts';

/** The member for the header `anthropic-beta`: other hosts of this API take it there, too. */
const betaMember = 'anthropic_beta';

export type NativeRequest = { body: string; headers: Record<string, string> };

/**
 * A client's own Messages body for a provider of the same format: only the model, and what continues an answer, change.
 * @throws {RefusedError} if the beginning of an answer cannot be continued.
 */
export function nativeRequest(
  { body, turns }: NativeCall,
  { model, prefill, body: inner }: Pick<ProviderCall, 'model' | 'prefill' | 'body'>,
): NativeRequest {
  if (prefill) refusePrefill(parseExactly(body) as Record<string, unknown>);
  const members: Record<string, string> = { model: JSON.stringify(model) };
  const asked = memberText(body, 'messages') ?? '[]';
  const messages = messagesFor(asked, turns);
  if (messages !== undefined) members['messages'] = messages;
  // What was delivered already counts against the limit.
  const limit = memberText(inner, 'max_tokens');
  if (turns.length > 0 && limit !== undefined) members['max_tokens'] = limit;
  const betas = betasIn(memberText(body, betaMember));
  const budget = budgetIn(memberText(body, 'thinking'));
  const isTooMuch = turns.length > 0 && limit !== undefined && (budget ?? 0) >= Number(limit);
  const cannotThink = budget !== undefined && (isTooMuch || hasThoughtlessCalls(asked));
  const kept = cannotThink ? withoutMember(body, 'thinking') : body;
  return {
    body: setMembers(withoutMember(kept, betaMember), members),
    headers: betas.length > 0 ? { 'anthropic-beta': betas.join(',') } : {},
  };
}

function betasIn(text: string | undefined): string[] {
  const list = text === undefined ? [] : itemsOf(JSON.parse(text));
  return list.filter((one): one is string => typeof one === 'string' && /^[\w.,-]+$/.test(one));
}

/** The tokens of `thinking` with a budget; undefined without one. */
function budgetIn(text: string | undefined): number | undefined {
  const thinking = text === undefined ? undefined : (JSON.parse(text) as unknown);
  if (!isJsonObject(thinking) || thinking['type'] !== 'enabled') return undefined;
  const { budget_tokens: budget } = thinking;
  return typeof budget === 'number' ? budget : undefined;
}

/**
 * The last turn of the assistant called tools without thoughts before them, because another vendor's model wrote it. With a
 * budget for thoughts Anthropic rejects that.
 */
function hasThoughtlessCalls(messages: string): boolean {
  if (!messages.includes('"tool_use"')) return false;
  const last = itemsOf(JSON.parse(messages)).findLast(
    (turn) => isJsonObject(turn) && turn['role'] === 'assistant',
  );
  const blocks = isJsonObject(last) ? itemsOf(last['content']).filter(isJsonObject) : [];
  const signed = blocks.filter(({ type, signature }) => type !== 'thinking' || signature !== '');
  const isThought = ['thinking', 'redacted_thinking'].includes(shownText(signed[0]?.['type']));
  return signed.some(({ type }) => type === 'tool_use') && !isThought;
}

/** Undefined: they stay as they are. */
function messagesFor(messages: string, turns: NativeCall['turns']): string | undefined {
  const isForeign = unsigned.test(messages) || foreignId.test(messages);
  if (turns.length === 0 && !isForeign) return undefined;
  const own = itemsOf(parseExactly(messages));
  const signed = isForeign ? own.flatMap(withoutForeign(createCallIds())) : own;
  const last = turns.length - 1;
  const more = turns.map(({ role, content }, index) =>
    // Anthropic does not accept white space at the end of the beginning of an answer (`joinPrefilled`).
    role === 'assistant' && index === last
      ? { role, content: withoutTrailingSpace(content) }
      : { role, content },
  );
  return JSON.stringify([...signed, ...more]);
}

/** Traces of another vendor's model: thoughts that are not signed, and ids of calls that Anthropic does not accept. */
const unsigned = /"signature"\s*:\s*""/;
const foreignId = /"(?:tool_use_)?id"\s*:\s*"[^"]*[^"\w-][^"]*"/;

/** A turn without unsigned thoughts, and with clean ids; none if nothing is left of it. */
const withoutForeign =
  (ids: CallIds) =>
  (turn: unknown, index: number): unknown[] => {
    const content = isJsonObject(turn) ? turn['content'] : undefined;
    if (!isJsonObject(turn) || !Array.isArray(content)) return [turn];
    const kept = (content as unknown[]).filter(
      (block) => !isJsonObject(block) || block['type'] !== 'thinking' || block['signature'] !== '',
    );
    if (kept.length === 0 && content.length > 0) return [];
    return [{ ...turn, content: kept.map((block) => cleaned(block, ids, `messages.${index}`)) }];
  };

function cleaned(block: unknown, ids: CallIds, param: string): unknown {
  if (!isJsonObject(block)) return block;
  if (block['type'] === 'tool_use') return { ...block, id: ids.clean(block['id'], param) };
  if (block['type'] !== 'tool_result') return block;
  return { ...block, tool_use_id: ids.clean(block['tool_use_id'], param) };
}
