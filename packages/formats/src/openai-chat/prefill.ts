import { memberText } from '@millrace/shared/domain/json-text';
import { partsOf } from '../base-url.ts';
import type { ProviderCall } from '../port.ts';

/**
 * Providers of OpenAI's format whose models continue a trailing assistant message that is marked with
 * `prefix`; they often answer in prose instead of a tool call. Nothing is assumed of an unknown provider:
 * some answer such a request with prose about it, OpenAI's models do not continue, and a vLLM server cannot
 * be recognised by its address.
 */
const prefixHosts = new Set(['api.deepseek.com', 'api.mistral.ai']);

export const wantsPrefixMark = (baseUrl: string): boolean =>
  prefixHosts.has(partsOf(baseUrl).hostname);

/**
 * The members that make a trailing assistant message the beginning of the answer: a mark in the message, or two
 * members for vLLM and SGLang, which providers that continue it anyway ignore.
 */
export function prefillMembers({
  body,
  baseUrl,
}: Pick<ProviderCall, 'body' | 'baseUrl'>): Record<string, string> {
  if (!wantsPrefixMark(baseUrl)) {
    return { continue_final_message: 'true', add_generation_prompt: 'false' };
  }
  const messages = memberText(body, 'messages') ?? '[]';
  return { messages: messages.replace(/\}\s*\]$/, ',"prefix":true}]') };
}
