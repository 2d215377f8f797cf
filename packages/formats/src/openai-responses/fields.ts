import { always, commonAsks, isNot } from '../inner-body.ts';
import type { Asks } from '../inner-body.ts';

/* How each member of a chat completion request is treated. Null always counts as absent. */

/** The Responses API has nothing for these, and the answer would differ: refused if the value asks for it. */
export const refusedFields: Readonly<Record<string, Asks>> = {
  ...commonAsks,
  n: isNot(1),
  stop: (value) => !Array.isArray(value) || value.length > 0,
  audio: always,
  modalities: (value) => !Array.isArray(value) || value.some(isNot('text')),
  // What the provider keeps is not there for the other targets of a model.
  previous_response_id: always,
  conversation: always,
  background: isNot(false),
};

/** Hints: dropped, with a note of what is lost. */
export const droppedFields = {
  frequency_penalty: 'a leaning of the sampling',
  presence_penalty: 'a leaning of the sampling',
  seed: 'repeats an answer at best effort only, OpenAI says',
  prediction: 'makes an answer faster, not another one',
} as const;

/** Members that both APIs have. */
export const sharedFields = [
  'temperature',
  'top_p',
  'parallel_tool_calls',
  'service_tier',
  'metadata',
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_options',
  'prompt_cache_retention',
  'moderation',
] as const;

/** The Responses API's own members, which a caller may add to a chat completion. */
export const ownFields = [
  'instructions',
  'truncation',
  'max_tool_calls',
  'prompt',
  'context_management',
] as const;
