import { RefusedError } from '../refused.ts';

/* How each member of a chat completion request is treated. Null always counts as absent. */

type Asks = (value: unknown) => boolean;

const always: Asks = () => true;
const isNot =
  (nothing: unknown): Asks =>
  (value) =>
    value !== nothing;

/** The Responses API has nothing for these, and the answer would differ: refused if the value asks for it. */
export const refusedFields: Readonly<Record<string, Asks>> = {
  n: isNot(1),
  stop: (value) => !Array.isArray(value) || value.length > 0,
  logit_bias: (value) => Object.keys(Object(value)).length > 0,
  audio: always,
  modalities: (value) => !Array.isArray(value) || value.some(isNot('text')),
  // The predecessors of `tools` and `tool_choice`: their answers have another form.
  functions: (value) => !Array.isArray(value) || value.length > 0,
  function_call: isNot('none'),
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

export function refuseFields(request: Readonly<Record<string, unknown>>): void {
  for (const [name, asks] of Object.entries(refusedFields)) {
    const value = request[name];
    if (value === undefined || value === null || !asks(value)) continue;
    throw new RefusedError(
      name,
      `The Responses API has nothing that corresponds to '${name}' with this value.`,
      'unsupported_parameter',
    );
  }
}
