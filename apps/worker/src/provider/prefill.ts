import type { ProviderConfig } from '@millrace/shared/config';
import { traitsOf } from './anthropic/models.ts';

/**
 * Providers of OpenAI's format whose models go on with a trailing assistant message, when it is
 * marked with `prefix`. Of an unknown one nothing is assumed, since some answer such a request with
 * prose about it; OpenAI's do not.
 */
const prefixHosts = new Set(['api.deepseek.com', 'api.mistral.ai']);

/** Whether the message itself has to be marked as a beginning. */
export const wantsPrefixMark = (baseUrl: string): boolean =>
  prefixHosts.has(new URL(baseUrl).hostname);

/**
 * Whether a target goes on with a trailing assistant message, where the config does not say so itself
 * (`prefill`). Claude did up to 4.5.
 */
export function canPrefill(
  { api, baseUrl }: Pick<ProviderConfig, 'api' | 'baseUrl'>,
  model: string,
): boolean {
  return api === 'anthropic' ? traitsOf(model).prefill : wantsPrefixMark(baseUrl);
}
