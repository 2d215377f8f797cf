import { visibility } from '@millrace/shared/domain/chunk';
import { assembleCompletion } from '@millrace/shared/domain/completion';
import type { ChatCompletionChunk } from 'openai/resources/chat/completions';
import { expect } from 'vitest';
import type { Verdict } from '../port.ts';
import type { Delta } from './chunks.ts';
import { messageDelta, messageStart, messageStop, ping, text } from './events.fixture.ts';
import { createStreamReader } from './stream.ts';

export type Read = {
  chunks: ChatCompletionChunk[];
  texts: string[];
  usages: ChatCompletionChunk[];
  verdict: Verdict;
  /** Of each push, until there is a verdict. */
  verdictAtPush: boolean;
};

export function read(body: string | Uint8Array, cuts: readonly number[] = []): Read {
  const chunks: ChatCompletionChunk[] = [];
  const texts: string[] = [];
  const usages: ChatCompletionChunk[] = [];
  const reader = createStreamReader(
    'claude-asked',
    {
      chunk(line, visible) {
        const chunk = JSON.parse(line) as ChatCompletionChunk;
        expectOpenAiChunk(chunk, line);
        expect(visible).toBe(visibility(chunk) === 'visible');
        chunks.push(chunk);
        texts.push(line);
      },
      usage(line) {
        usages.push(JSON.parse(line) as ChatCompletionChunk);
      },
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
  return { chunks, texts, usages, verdict: verdict ?? reader.end(), verdictAtPush };
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
