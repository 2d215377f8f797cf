import { isJsonObject } from '@millrace/shared/domain/json';
import { always, commonAsks } from '../inner-body.ts';
import type { Asks } from '../inner-body.ts';

/*
 * The members of a chat completion request that Gemini's request does not have. Null always counts as absent.
 */

/** Without these the answer would differ from the requested one: refused if the value requests it. */
export const refusedFields: Readonly<Record<string, Asks>> = {
  ...commonAsks,
  // `candidateCount` is at most 8.
  n: (value) => typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 8,
  audio: always,
  web_search_options: always,
  moderation: always,
};

/** Hints, and options of OpenAI's service: dropped, with a note of what is lost. */
export const droppedFields = {
  frequency_penalty: 'a leaning of the sampling; most models answer it with 400',
  presence_penalty: 'the same',
  prediction: 'makes an answer faster, not another one',
  verbosity: 'a hint',
  user: 'Gemini has no member for a user',
  safety_identifier: 'the same',
  store: 'OpenAI keeps the answer',
  metadata: 'labels of what is stored there',
  prompt_cache_key: 'caching is implicit here, or by `cachedContent`',
  prompt_cache_options: 'the same',
  prompt_cache_retention: 'the same',
  stream_options: 'Gemini always sends the usage, and clients that ask get it',
} as const;

/** Gemini's own members, which a caller may add to OpenAI's, by each name that Google's API accepts. */
const ownNames: Readonly<Record<string, string>> = {
  safetySettings: 'safetySettings',
  safety_settings: 'safetySettings',
  cachedContent: 'cachedContent',
  cached_content: 'cachedContent',
  generationConfig: 'generationConfig',
  generation_config: 'generationConfig',
  thinkingConfig: 'thinkingConfig',
  thinking_config: 'thinkingConfig',
};

/** Gemini's own members at the top, or in `extra_body.google` as in Google's OpenAI-compatible API. */
export function ownMembers(request: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const extra = request['extra_body'];
  const google = isJsonObject(extra) ? extra['google'] : undefined;
  const members: Record<string, unknown> = {};
  for (const source of [request, google]) {
    if (!isJsonObject(source)) continue;
    for (const [name, own] of Object.entries(ownNames)) {
      const value = source[name];
      if (value !== undefined && value !== null) members[own] = value;
    }
  }
  return members;
}
