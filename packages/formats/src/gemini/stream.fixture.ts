import type { ChatCompletionChunk } from 'openai/resources/chat/completions';
import { visibility } from '../openai-chat/chunk.ts';
import { assembleCompletion } from '../openai-chat/completion.ts';
import { expect } from 'vitest';
import type { Verdict } from '../port.ts';
import { wire } from './events.fixture.ts';
import { readStream } from './stream.ts';
import type { StreamCall } from './stream.ts';

type Read = {
  chunks: ChatCompletionChunk[];
  usages: { usage: Record<string, unknown> }[];
  verdict: Verdict;
};

/** Reads the events, or a body. Every chunk is as the sink is told, and has the members of OpenAI's. */
export function read(events: readonly unknown[] | string, call: Partial<StreamCall> = {}): Read {
  const chunks: ChatCompletionChunk[] = [];
  const usages: Read['usages'] = [];
  const reader = readStream(
    { body: '{}', model: 'gemini-asked', identity: undefined, ...call },
    {
      plain(line, content) {
        const chunk = JSON.parse(line) as ChatCompletionChunk;
        const choice = { index: 0, delta: { content }, logprobs: null, finish_reason: null };
        expect(chunk.choices).toEqual([choice]);
        chunks.push(chunk);
      },
      chunk(line, chunk, visible) {
        expect(JSON.parse(line)).toEqual(JSON.parse(JSON.stringify(chunk)));
        expect(visible).toBe(visibility(chunk) === 'visible');
        chunks.push(JSON.parse(line) as ChatCompletionChunk);
      },
      usage: (line) => usages.push(JSON.parse(line) as Read['usages'][number]),
    },
    () => 1_700_000_000_999,
  );
  const body = typeof events === 'string' ? events : wire(events);
  const verdict = reader.push(Buffer.from(body)) ?? reader.end();
  for (const chunk of chunks) {
    expect(chunk.object).toBe('chat.completion.chunk');
    expect(chunk.created).toBe(1_700_000_000);
  }
  return { chunks, usages, verdict };
}

export const answerOf = ({ chunks }: Read) => assembleCompletion(chunks)!;
export const messageOf = (result: Read) => answerOf(result).choices[0]!.message;
