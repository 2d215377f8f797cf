import { randomUUID } from 'node:crypto';
import type { JsonObject } from '@millrace/shared/domain/json';
import { nativeMember } from '../client-port.ts';

/** A piece of a tool call in OpenAI's form: of a function, or of a custom tool. */
export type ToolCallDelta = {
  index: number;
  id?: string;
  type?: 'function' | 'custom';
  function?: { name?: string; arguments: string };
  custom?: { name?: string; input: string };
  extra_content?: ExtraContent;
};

/** Google's own members in OpenAI's form, as its OpenAI-compatible API has them. */
export type ExtraContent = { google: Record<string, unknown> };

export type Delta = {
  role?: 'assistant';
  content?: string;
  refusal?: string | null;
  reasoning_content?: string;
  thinking_blocks?: Record<string, unknown>[];
  reasoning_details?: Record<string, unknown>[];
  annotations?: Record<string, unknown>[];
  images?: Record<string, unknown>[];
  tool_calls?: ToolCallDelta[];
  extra_content?: ExtraContent;
};

/** The members of a choice beside its delta; `index` is 0 by default. */
export type ChoiceMembers = {
  index?: number;
  logprobs?: Record<string, unknown>;
  finishReason?: string;
  /** The provider's own name of the end, where OpenAI's says less. */
  nativeFinishReason?: string;
  /** The provider's event, for clients that use its format; a member of the chunk itself. */
  native?: JsonObject;
};

export type Choice = ChoiceMembers & { delta: Delta };

/** A chunk with its JSON text. */
export type Chunk = { text: string; chunk: unknown };

/** Writes the chunks of one answer of another format: `id`, `created` and `model` are the same in all of them. */
export type ChunkWriter = {
  /** The text of a chunk that adds nothing but content to the first choice. */
  content(text: string): string;
  delta(delta: Delta, choice?: ChoiceMembers): Chunk;
  /** One chunk for several choices. `native`: the provider's event, for clients that use its format. */
  choices(choices: readonly Choice[], native: JsonObject): Chunk;
  usage(usage: Readonly<Record<string, unknown>>): string;
};

export type ChunkIdentity = { id: unknown; created: unknown; model: unknown };

export function createChunkWriter({ id, created, model }: ChunkIdentity): ChunkWriter {
  const identity = { id, object: 'chat.completion.chunk', created, model };
  const head = JSON.stringify(identity).slice(0, -1);

  function chunkOf(choices: readonly Choice[], native: JsonObject | undefined): Chunk {
    const chunk = {
      ...identity,
      choices: choices.map(innerChoice),
      ...(native && { [nativeMember]: native }),
    };
    return { text: JSON.stringify(chunk), chunk };
  }

  return {
    content: (text) =>
      `${head},"choices":[{"index":0,"delta":{"content":${JSON.stringify(text)}},"logprobs":null,"finish_reason":null}]}`,
    delta: (delta, { native, ...members } = {}) => chunkOf([{ delta, ...members }], native),
    choices: chunkOf,
    usage: (usage) => `${head},"choices":[],"usage":${JSON.stringify(usage)}}`,
  };
}

const innerChoice = ({
  index = 0,
  delta,
  logprobs,
  finishReason,
  nativeFinishReason,
}: Choice): JsonObject => ({
  index,
  delta,
  logprobs: logprobs ?? null,
  finish_reason: finishReason ?? null,
  ...(nativeFinishReason !== undefined && { native_finish_reason: nativeFinishReason }),
});

/** Derived from the provider's own id of the answer; a new one if it has none. */
export const completionId = (answerId: unknown): string =>
  `chatcmpl-${typeof answerId === 'string' && answerId !== '' ? answerId : randomUUID().replaceAll('-', '')}`;
