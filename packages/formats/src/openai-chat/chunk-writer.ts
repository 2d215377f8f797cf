import { randomUUID } from 'node:crypto';

/** A piece of a tool call in OpenAI's form. */
export type ToolCallDelta = {
  index: number;
  id?: string;
  type?: 'function';
  function: { name?: string; arguments: string };
};

export type Delta = {
  role?: 'assistant';
  content?: string;
  refusal?: string | null;
  reasoning_content?: string;
  thinking_blocks?: Record<string, unknown>[];
  annotations?: Record<string, unknown>[];
  tool_calls?: ToolCallDelta[];
};

/** A chunk with its JSON text. */
export type Chunk = { text: string; chunk: unknown };

/** Writes the chunks of one answer of another format: `id`, `created` and `model` are the same in all of them. */
export type ChunkWriter = {
  /** The text of a chunk that adds nothing but content. */
  content(text: string): string;
  delta(delta: Delta, finishReason?: string): Chunk;
  usage(usage: Readonly<Record<string, unknown>>): string;
};

export type ChunkIdentity = { id: unknown; created: unknown; model: unknown };

export function createChunkWriter({ id, created, model }: ChunkIdentity): ChunkWriter {
  const identity = { id, object: 'chat.completion.chunk', created, model };
  const head = JSON.stringify(identity).slice(0, -1);
  return {
    content: (text) =>
      `${head},"choices":[{"index":0,"delta":{"content":${JSON.stringify(text)}},"logprobs":null,"finish_reason":null}]}`,
    delta(delta, finishReason) {
      const choice = { index: 0, delta, logprobs: null, finish_reason: finishReason ?? null };
      const chunk = { ...identity, choices: [choice] };
      return { text: JSON.stringify(chunk), chunk };
    },
    usage: (usage) => `${head},"choices":[],"usage":${JSON.stringify(usage)}}`,
  };
}

/** Derived from the provider's own id of the answer; a new one if it has none. */
export const completionId = (answerId: unknown): string =>
  `chatcmpl-${typeof answerId === 'string' && answerId !== '' ? answerId : randomUUID().replaceAll('-', '')}`;
