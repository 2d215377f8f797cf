import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { parseExactly } from '../exact-json.ts';
import type { NativeCall, ProviderCall } from '../port.ts';
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
  const messages = messagesFor(memberText(body, 'messages') ?? '[]', turns);
  if (messages !== undefined) members['messages'] = messages;
  // What was delivered already counts against the limit.
  const limit = memberText(inner, 'max_tokens');
  if (turns.length > 0 && limit !== undefined) members['max_tokens'] = limit;
  const betas = betasIn(memberText(body, betaMember));
  return {
    body: setMembers(withoutMember(body, betaMember), members),
    headers: betas.length > 0 ? { 'anthropic-beta': betas.join(',') } : {},
  };
}

function betasIn(text: string | undefined): string[] {
  const list = text === undefined ? [] : itemsOf(JSON.parse(text));
  return list.filter((one): one is string => typeof one === 'string' && /^[\w.,-]+$/.test(one));
}

/** Undefined: they stay as they are. */
function messagesFor(messages: string, turns: NativeCall['turns']): string | undefined {
  const hasUnsigned = unsigned.test(messages);
  if (turns.length === 0 && !hasUnsigned) return undefined;
  const own = itemsOf(parseExactly(messages));
  const signed = hasUnsigned ? own.map(withoutUnsigned) : own;
  const last = turns.length - 1;
  const more = turns.map(({ role, content }, index) =>
    // Anthropic does not accept white space at the end of the beginning of an answer (`joinPrefilled`).
    role === 'assistant' && index === last
      ? { role, content: withoutTrailingSpace(content) }
      : { role, content },
  );
  return JSON.stringify([...signed, ...more]);
}

const unsigned = /"signature"\s*:\s*""/;

/** Without the thoughts of other vendors' models, which are not signed: Anthropic rejects them. */
function withoutUnsigned(message: unknown): unknown {
  const content = isJsonObject(message) ? message['content'] : undefined;
  if (!isJsonObject(message) || !Array.isArray(content)) return message;
  const kept = (content as unknown[]).filter(
    (block) => !isJsonObject(block) || block['type'] !== 'thinking' || block['signature'] !== '',
  );
  return { ...message, content: kept };
}
