import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { partsOf } from '../base-url.ts';
import type { ProviderCall } from '../port.ts';

/**
 * Adapts a request that was translated from a client's other format: a client of this format chooses members that its
 * model accepts, but a client of another one cannot. OpenAI's newer models reject `max_tokens`, which other providers
 * have, and its older ones reject `reasoning_effort`.
 */
export function adaptTranslated({
  body,
  baseUrl,
  model,
}: Pick<ProviderCall, 'body' | 'baseUrl' | 'model'>): string {
  if (!isOpenAi(partsOf(baseUrl).hostname)) return body;
  const known = canReason(model) ? body : withoutMember(body, 'reasoning_effort');
  const limit = memberText(known, 'max_tokens');
  if (limit === undefined) return known;
  return setMembers(withoutMember(known, 'max_tokens'), { max_completion_tokens: limit });
}

const isOpenAi = (host: string): boolean => /(^|\.)(openai\.com|openai\.azure\.com)$/.test(host);

const canReason = (model: string): boolean => !/(^|\/)gpt-[34]/.test(model);
