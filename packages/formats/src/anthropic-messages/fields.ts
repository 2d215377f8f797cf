import { RefusedError } from '../refused.ts';

/*
 * The members of a chat completion request that Anthropic's request does not have: it answers each with 400
 * `Extra inputs are not permitted`. Null always counts as absent.
 */

type Asks = (value: unknown) => boolean;

const always: Asks = () => true;
const isNot =
  (nothing: unknown): Asks =>
  (value) =>
    value !== nothing;

/** Without these the answer would differ from the requested one: refused if the value requests it. */
export const refusedFields: Readonly<Record<string, Asks>> = {
  n: isNot(1),
  logprobs: isNot(false),
  top_logprobs: isNot(0),
  logit_bias: (value) => Object.keys(Object(value)).length > 0,
  audio: always,
  modalities: (value) => !Array.isArray(value) || value.some(isNot('text')),
  web_search_options: always,
  moderation: always,
  // The predecessors of `tools` and `tool_choice`: their answers have another form.
  functions: (value) => !Array.isArray(value) || value.length > 0,
  function_call: isNot('none'),
};

/** Hints, and options of OpenAI's service: dropped, with a note of what is lost. */
export const droppedFields = {
  frequency_penalty: 'a leaning of the sampling',
  presence_penalty: 'a leaning of the sampling',
  seed: 'repeats an answer at best effort only, OpenAI says',
  prediction: 'makes an answer faster, not another one',
  verbosity: 'a hint',
  store: 'OpenAI keeps the answer',
  metadata: 'labels of what is stored there',
  prompt_cache_key: 'caching is by `cache_control` here',
  prompt_cache_options: 'the same',
  prompt_cache_retention: 'the same',
  stream_options: 'Anthropic always sends the usage, and clients that ask get it',
} as const;

/** Anthropic's own members, which a caller may add to OpenAI's. */
export const ownFields = ['cache_control', 'container', 'inference_geo', 'speed'] as const;

export function refuseFields(request: Readonly<Record<string, unknown>>): void {
  for (const [name, asks] of Object.entries(refusedFields)) {
    const value = request[name];
    if (value === undefined || value === null || !asks(value)) continue;
    throw new RefusedError(
      name,
      `Anthropic's API has nothing that corresponds to '${name}' with this value.`,
      'unsupported_parameter',
    );
  }
}
