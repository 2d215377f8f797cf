import { visibility } from '../openai-chat/chunk.ts';
import { assembleCompletion } from '../openai-chat/completion.ts';
import type { ChatCompletionChunk } from 'openai/resources/chat/completions';
import { expect } from 'vitest';
import type { Verdict } from '../port.ts';
import type { Delta } from '../openai-chat/chunk-writer.ts';
import { messageDelta, messageStart, messageStop, ping, text } from './events.fixture.ts';
import { readStream } from './stream.ts';
import type { StreamCall } from './stream.ts';

export type Read = {
  chunks: ChatCompletionChunk[];
  texts: string[];
  usages: ChatCompletionChunk[];
  verdict: Verdict;
  /** Of each push, until there is a verdict. */
  verdictAtPush: boolean;
};

/** One call of the sink for a chunk. */
type Given = { line: string; content: string } | { line: string; chunk: unknown; visible: boolean };

const asked: StreamCall = {
  body: '{}',
  model: 'claude-asked',
  prefill: false,
  identity: undefined,
};

/** Reads a body in packets that end at the cuts. */
export function gather(
  body: string | Uint8Array,
  cuts: readonly number[] = [],
  call: Partial<StreamCall> = {},
): Read & { given: Given[] } {
  const given: Given[] = [];
  const usages: ChatCompletionChunk[] = [];
  const reader = readStream(
    { ...asked, ...call },
    {
      plain: (line, content) => given.push({ line, content }),
      chunk: (line, chunk, visible) => given.push({ line, chunk, visible }),
      usage: (line) => usages.push(JSON.parse(line) as ChatCompletionChunk),
    },
    () => 1_700_000_000_999,
  );
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body);
  let verdict: Verdict | undefined;
  let from = 0;
  for (const to of [...cuts.filter((cut) => cut < bytes.length), bytes.length]) {
    verdict ??= reader.push(bytes.subarray(from, to));
    from = to;
  }
  const verdictAtPush = verdict !== undefined;
  verdict ??= reader.end();
  const texts = given.map(({ line }) => line);
  const chunks = texts.map((line) => JSON.parse(line) as ChatCompletionChunk);
  return { given, chunks, texts, usages, verdict, verdictAtPush };
}

/** As `gather`, and every chunk is as OpenAI's are, and what the sink was told of it is true. */
export function read(...args: Parameters<typeof gather>): Read {
  const { given, ...result } = gather(...args);
  for (const [n, told] of given.entries()) {
    const chunk = result.chunks[n]!;
    expectOpenAiChunk(chunk, told.line);
    if ('content' in told) {
      const choice = { index: 0, delta: { content: told.content }, finish_reason: null };
      expect(chunk.choices).toEqual([{ ...choice, logprobs: null }]);
      expect(told.content).not.toBe('');
    } else {
      expect(told.chunk).toEqual(chunk);
      expect(told.visible).toBe(visibility(chunk) === 'visible');
    }
  }
  return result;
}

const chunkMembers = ['id', 'object', 'created', 'model', 'choices'];
const finishReasons = ['stop', 'length', 'tool_calls', 'content_filter', null];

/** What OpenAI's schema demands of every chunk with a choice. */
function expectOpenAiChunk(chunk: ChatCompletionChunk, line: string): void {
  expect(line).not.toMatch(/[\r\n]/);
  expect(Object.keys(chunk)).toEqual(chunkMembers);
  expect(chunk.object).toBe('chat.completion.chunk');
  expect(chunk.created).toBe(1_700_000_000);
  expect(chunk.choices).toHaveLength(1);
  const { index, delta, finish_reason: reason } = chunk.choices[0]!;
  expect(index).toBe(0);
  expect(finishReasons).toContain(reason);
  for (const call of delta.tool_calls ?? []) {
    expect(Number.isInteger(call.index)).toBe(true);
    expect(typeof call.function?.arguments).toBe('string');
  }
}

export const deltas = ({ chunks }: Read) => chunks.map((chunk) => chunk.choices[0]!.delta);
/** For the compiler: our deltas are OpenAI's, with some members more. */
export const asOpenAi = (delta: Delta): ChatCompletionChunk.Choice.Delta => delta;
export const answer = ({ chunks }: Read) => assembleCompletion(chunks)!.choices[0]!;

export const hello = [
  messageStart(),
  ...text(0, 'Hel', 'lo 🌍'),
  ping,
  messageDelta('end_turn'),
  messageStop,
];
