import { always, commonAsks, isNot } from '../inner-body.ts';
import type { Asks } from '../inner-body.ts';

/*
 * The members of a chat completion request that Anthropic's request does not have: it answers each with 400
 * `Extra inputs are not permitted`. Null always counts as absent.
 */

/** Without these the answer would differ from the requested one: refused if the value requests it. */
export const refusedFields: Readonly<Record<string, Asks>> = {
  ...commonAsks,
  n: isNot(1),
  logprobs: isNot(false),
  top_logprobs: isNot(0),
  audio: always,
  modalities: (value) => !Array.isArray(value) || value.some(isNot('text')),
  web_search_options: always,
  moderation: always,
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
