import { partsOf } from './base-url.ts';
import type { ProviderFormat } from '@millrace/shared/domain/provider-format';
import type { Prefill } from '@millrace/shared/domain/request';
import { traitsOf } from './anthropic-messages/models.ts';

/**
 * Providers of OpenAI's format whose models go on with a trailing assistant message, when it is
 * marked with `prefix`. Of an unknown one nothing is assumed, since some answer such a request with
 * prose about it; OpenAI's do not.
 */
const prefixHosts = new Set(['api.deepseek.com', 'api.mistral.ai']);

/** Whether the message itself has to be marked as a beginning. */
export const wantsPrefixMark = (baseUrl: string): boolean =>
  prefixHosts.has(partsOf(baseUrl).hostname);

/**
 * Whether a target continues a trailing assistant message, where the config does not say so itself
 * (`prefill`). Claude did up to 4.5, and called its tools behind one. DeepSeek and Mistral take one, but
 * often answer in prose then. A vLLM server cannot be told by its address.
 */
export function prefillOf(
  { api, baseUrl }: { api: ProviderFormat; baseUrl: string },
  model: string,
): Prefill {
  if (api !== 'anthropic') return wantsPrefixMark(baseUrl);
  return traitsOf(model).prefill && 'with-tools';
}
