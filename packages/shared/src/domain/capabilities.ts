import type { Endpoint } from './request.ts';
import type { ProviderApi } from './provider-api.ts';

/*
 * What a model can do. An absent member is not known, which differs from `false`: clients of the list of models must not take the one
 * for the other.
 */

/** Kinds of content; `file`: documents such as PDF. */
export const modalities = ['text', 'image', 'audio', 'video', 'file'] as const;
export type Modality = (typeof modalities)[number];

/** Groups of client APIs: a model that serves one API of a group serves all of them. */
export const services = [
  'chat',
  'compaction',
  'embeddings',
  'moderations',
  'rerank',
  'images',
  'speech',
  'transcriptions',
] as const;
export type Service = (typeof services)[number];

export type Capabilities = {
  /** Tokens of a prompt and its answer. */
  readonly contextWindow?: number | undefined;
  readonly maxOutputTokens?: number | undefined;
  readonly input?: readonly Modality[] | undefined;
  readonly output?: readonly Modality[] | undefined;
  readonly tools?: boolean | undefined;
  /** Answers follow a JSON schema. */
  readonly structuredOutput?: boolean | undefined;
  readonly reasoning?: boolean | undefined;
  /** A trailing assistant message is continued. */
  readonly prefill?: boolean | undefined;
  readonly serves?: readonly Service[] | undefined;
};

export const endpointsOfServices: Readonly<Record<Service, readonly Endpoint[]>> = {
  chat: [
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/messages',
    '/v1/responses',
    '/v1beta/models:generateContent',
  ],
  compaction: ['/v1/responses/compact'],
  embeddings: ['/v1/embeddings', '/v1beta/models:embedContent'],
  moderations: ['/v1/moderations'],
  rerank: ['/v1/rerank'],
  images: ['/v1/images/generations', '/v1/images/edits', '/v1/images/variations'],
  speech: ['/v1/audio/speech'],
  transcriptions: ['/v1/audio/transcriptions', '/v1/audio/translations'],
};

/** What Millrace can ask a provider of this API for. */
export const servicesOfApis: Readonly<Record<ProviderApi, readonly Service[]>> = {
  openai: services,
  anthropic: ['chat'],
  'openai-responses': ['chat', 'compaction'],
  gemini: ['chat', 'embeddings'],
};

/** What all of these models can do, one of which will answer. Never empty. */
export function commonCapabilities(all: readonly Capabilities[]): Capabilities {
  return {
    contextWindow: least(all.map(({ contextWindow }) => contextWindow)),
    maxOutputTokens: least(all.map(({ maxOutputTokens }) => maxOutputTokens)),
    input: shared(all.map(({ input }) => input)),
    output: shared(all.map(({ output }) => output)),
    tools: everyOne(all.map(({ tools }) => tools)),
    structuredOutput: everyOne(all.map(({ structuredOutput }) => structuredOutput)),
    reasoning: everyOne(all.map(({ reasoning }) => reasoning)),
    prefill: everyOne(all.map(({ prefill }) => prefill)),
    serves: shared(all.map(({ serves }) => serves)),
  };
}

const areKnown = <T>(values: readonly (T | undefined)[]): values is readonly T[] =>
  values.every((value) => value !== undefined);

const least = (values: readonly (number | undefined)[]): number | undefined =>
  areKnown(values) ? Math.min(...values) : undefined;

/** One model that cannot is enough to know that not all can. */
const everyOne = (values: readonly (boolean | undefined)[]): boolean | undefined =>
  values.includes(false) ? false : areKnown(values) ? true : undefined;

function shared<T>(lists: readonly (readonly T[] | undefined)[]): readonly T[] | undefined {
  if (!areKnown(lists)) return undefined;
  const [first = [], ...others] = lists;
  return first.filter((one) => others.every((other) => other.includes(one)));
}
