import type { ContinuationScope, Target } from '@millrace/shared/domain/request';

/*
 * Which targets may continue an answer of which readers have a part. Another model goes on in another style, which some
 * applications must not show; a fresh start is not concerned.
 */

/** Whether `target` may continue what `source` has begun. */
export function mayContinue(scope: ContinuationScope, source: Target, target: Target): boolean {
  if (scope === 'any' || isSameModel(source, target)) return true;
  if (scope === 'same-model') return false;
  const vendor = vendorOf(source.model);
  return vendor === undefined
    ? source.provider === target.provider && vendorOf(target.model) === undefined
    : vendor === vendorOf(target.model);
}

/** Providers name one model differently: `gpt-4o`, `openai/gpt-4o`, `gpt-4o-2024-08-06`, `us.anthropic.claude-…-v1:0`. */
const isSameModel = (one: Target, other: Target): boolean =>
  plainName(one.model) === plainName(other.model);

/** A fine-tuned model is only itself. */
const plainName = (model: string): string => (model.startsWith('ft:') ? model : plain(model));

const plain = (model: string): string =>
  model
    .toLowerCase()
    .replace(/^.*\//, '')
    // How an aggregator serves it, or a version of Bedrock's; Ollama's tags name sizes, which are other models.
    .replace(/:(?:free|beta|nitro|floor|extended|online|exacto|latest|\d+)$/, '')
    .replace(/^(?:[a-z]{2,6}\.)?(?:anthropic|meta|mistral|cohere|amazon|deepseek|openai)\./, '')
    .replace(/-v\d+$/, '')
    .replace(/@/, '-')
    .replace(/-(?:latest|\d{8}|\d{4}-\d{2}-\d{2})$/, '')
    .replaceAll('.', '-');

/** The makers of models, by the beginning of their names. */
const vendors: readonly (readonly [vendor: string, names: RegExp])[] = [
  ['openai', /^(?:gpt|chatgpt|o[1-9]|codex)\b/],
  ['anthropic', /^claude\b/],
  ['google', /^(?:gemini|gemma|learnlm)\b/],
  ['meta', /^(?:meta-)?llama/],
  ['mistral', /^(?:open-)?(?:mi[sx]tral|ministral|magistral|codestral|devstral|pixtral)\b/],
  ['deepseek', /^deepseek\b/],
  ['alibaba', /^(?:qwen|qwq|qvq)/],
  ['xai', /^grok\b/],
  ['cohere', /^(?:command|c4ai)\b/],
  ['moonshot', /^(?:kimi|moonshot)\b/],
  ['zhipu', /^(?:glm|chatglm)\b/],
  ['minimax', /^(?:minimax|abab)/],
  ['amazon', /^nova\b/],
  ['microsoft', /^phi\b/],
];

/** Undefined: unknown. */
const vendorOf = (model: string): string | undefined =>
  vendors.find(([, names]) => names.test(plain(model.replace(/^ft:/, ''))))?.[0];
