import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { partsOf } from '../base-url.ts';
import { parseExactly } from '../exact-json.ts';
import type { ProviderCall } from '../port.ts';

/**
 * Adapts a request that was translated from a client's other format: a client of this format chooses members that its
 * model accepts, but a client of another one cannot. OpenAI's newer models reject `max_tokens`, which other providers
 * have, and its older ones reject `reasoning_effort`. What another vendor's model signed in earlier turns is left out:
 * OpenAI, Groq, Mistral and Cerebras reject a message with members that they do not know.
 */
export function adaptTranslated({
  body: asked,
  baseUrl,
  model,
}: Pick<ProviderCall, 'body' | 'baseUrl' | 'model'>): string {
  const host = partsOf(baseUrl).hostname;
  const body = withoutForeign(asked, foreignTo(host, model));
  if (!isOpenAi(host)) return body;
  const known = canReason(model) ? body : withoutMember(body, 'reasoning_effort');
  const limit = memberText(known, 'max_tokens');
  if (limit === undefined) return known;
  return setMembers(withoutMember(known, 'max_tokens'), { max_completion_tokens: limit });
}

const isOpenAi = (host: string): boolean => /(^|\.)(openai\.com|openai\.azure\.com)$/.test(host);

const canReason = (model: string): boolean => !/(^|\/)gpt-[34]/.test(model);

/** The members of messages and of tool calls that only some providers know. */
function foreignTo(host: string, model: string): string[] {
  const isGoogles = /gemini/i.test(model) || /(^|\.)googleapis\.com$/.test(host);
  const isOpenRouter = /(^|\.)openrouter\.ai$/.test(host);
  return [...(isGoogles ? [] : ['extra_content']), ...(isOpenRouter ? [] : ['reasoning_details'])];
}

function withoutForeign(body: string, names: readonly string[]): string {
  if (!names.some((name) => body.includes(`"${name}"`))) return body;
  const without = (value: JsonObject): JsonObject =>
    Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));
  const clean = (message: unknown): unknown => {
    if (!isJsonObject(message)) return message;
    const { tool_calls: calls, ...others } = without(message);
    if (!Array.isArray(calls)) return without(message);
    const cleaned = itemsOf(calls).map((call) => (isJsonObject(call) ? without(call) : call));
    return { ...others, tool_calls: cleaned };
  };
  const messages = itemsOf(parseExactly(memberText(body, 'messages') ?? '[]'));
  return setMembers(body, { messages: JSON.stringify(messages.map(clean)) });
}
