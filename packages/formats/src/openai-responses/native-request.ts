import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { parseExactly } from '../exact-json.ts';
import type { NativeCall, ProviderCall } from '../port.ts';
import { markPrefill } from './input.ts';
import { minOutputTokens } from './request.ts';

/**
 * A client's own Responses body for a provider of the same format: only the model changes, what continues an answer, and what
 * this server keeps in the place of the provider.
 * @throws {RefusedError} if the beginning of an answer cannot be continued.
 */
export function nativeRequest(
  { body, turns }: NativeCall,
  { model, prefill, body: inner }: Pick<ProviderCall, 'model' | 'prefill' | 'body'>,
): string {
  const members: Record<string, string> = { model: JSON.stringify(model) };
  const isStored = memberText(body, 'store') === 'true';
  if (!isStored) members['store'] = 'false';
  const input = inputFor(memberText(body, 'input') ?? '[]', { turns, isStored, prefill });
  if (input !== undefined) members['input'] = input;
  // What was delivered already counts against the limit.
  const limit = Number(memberText(inner, 'max_completion_tokens'));
  if (turns.length > 0 && limit > 0) {
    members['max_output_tokens'] = String(Math.max(limit, minOutputTokens));
  }
  // A response in the background runs on here, while the provider streams; and an earlier response is in the input.
  const own = withoutMember(withoutMember(body, 'background'), 'previous_response_id');
  return setMembers(own, members);
}

type Options = Pick<NativeCall, 'turns'> & { isStored: boolean; prefill: boolean };

/** Undefined: it stays as it is. */
function inputFor(text: string, { turns, isStored, prefill }: Options): string | undefined {
  const hasReasoning = !isStored && /"reasoning"/.test(text);
  if (turns.length === 0 && !hasReasoning) return undefined;
  const input = parseExactly(text);
  const own = typeof input === 'string' ? [{ role: 'user', content: input }] : itemsOf(input);
  const usable = hasReasoning ? own.flatMap(withoutStored) : own;
  const more = turns.map(({ role, content }) => ({
    role,
    content: [{ type: role === 'assistant' ? 'output_text' : 'input_text', text: content }],
  }));
  const items = [...usable, ...more];
  return JSON.stringify(prefill ? markPrefill(items as Record<string, unknown>[]) : items);
}

/**
 * Reasoning of which only an id is known is at no provider, as nothing was stored there; with its encrypted content it needs no
 * id, which OpenAI would look up.
 */
function withoutStored(item: unknown): unknown[] {
  if (!isJsonObject(item) || item['type'] !== 'reasoning') return [item];
  const { id: _, ...rest } = item;
  return isJsonObject(rest) && typeof rest['encrypted_content'] === 'string' ? [rest] : [];
}
