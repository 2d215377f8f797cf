import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { reasoningBeside } from '@millrace/shared/domain/tokens';

/** Members of the inner form's usage; the others are Anthropic's own, which an Anthropic provider has reported. */
const innerMembers: ReadonlySet<string> = new Set([
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'prompt_tokens_details',
  'completion_tokens_details',
]);

/** The inner form's usage in Anthropic's form, whose `input_tokens` exclude what was read from or written to a cache. */
export function fromInnerUsage(usage: JsonObject): JsonObject {
  const own = Object.fromEntries(Object.entries(usage).filter(([name]) => !innerMembers.has(name)));
  const prompt = count(usage['prompt_tokens']);
  // Some providers report more cached tokens than the prompt has; the sum of Anthropic's counts is the prompt.
  const read = Math.min(prompt, count(member(usage['prompt_tokens_details'], 'cached_tokens')));
  const written = count(own['cache_creation_input_tokens']);
  return {
    ...own,
    input_tokens: Math.max(0, prompt - read - written),
    cache_creation_input_tokens: written,
    cache_read_input_tokens: read,
    output_tokens: count(usage['completion_tokens']) + reasoningBeside(usage),
  };
}

const member = (value: unknown, name: string): unknown =>
  isJsonObject(value) ? value[name] : undefined;

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

const stopReasons: Readonly<Record<string, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  function_call: 'tool_use',
  content_filter: 'refusal',
};

/** An unknown finish_reason counts as an ordinary end. */
export const stopReasonOf = (finishReason: string): string =>
  (Object.hasOwn(stopReasons, finishReason) ? stopReasons[finishReason] : undefined) ?? 'end_turn';

/** The id of a message, from that of its request. */
export const messageId = (requestId: string): string => `msg_${requestId.replace(/^req_/, '')}`;
