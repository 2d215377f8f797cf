import type { Usage } from './usage.ts';

/** A piece of a tool call, as OpenAI's deltas have it. */
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

/** Writes the chunks of one answer: `id`, `created` and `model` are the same in all of them. */
export type ChunkWriter = {
  delta(delta: Delta, finishReason?: string): string;
  usage(usage: Usage): string;
};

/** `messageId` is Anthropic's; `created` in seconds since the epoch. */
export function createChunkWriter(messageId: string, created: number, model: string): ChunkWriter {
  const identity = { id: completionId(messageId), object: 'chat.completion.chunk', created, model };
  const head = JSON.stringify(identity).slice(0, -1);
  return {
    delta(delta, finishReason) {
      const reason = finishReason === undefined ? 'null' : JSON.stringify(finishReason);
      return `${head},"choices":[{"index":0,"delta":${JSON.stringify(delta)},"logprobs":null,"finish_reason":${reason}}]}`;
    },
    usage: (usage) => `${head},"choices":[],"usage":${JSON.stringify(usage)}}`,
  };
}

export const completionId = (messageId: string): string => `chatcmpl-${messageId}`;
