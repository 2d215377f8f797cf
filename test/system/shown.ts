import { expect } from 'vitest';
import type { Stream } from '../kit/client.ts';
import { expectedArguments, KEYS } from '../../apps/simulator/src/index.ts';

/* What a plain stream of chat completion chunks says besides its text. */

type Chunk = {
  id: string;
  created: number;
  model: string;
  choices: {
    delta: {
      role?: string;
      reasoning_content?: string;
      tool_calls?: { index: number; function: { name?: string; arguments: string } }[];
    };
    finish_reason: string | null;
  }[];
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
};

export const chunksOf = ({ events }: Stream): Chunk[] =>
  events.filter(({ data }) => data !== '[DONE]').map(({ data }) => JSON.parse(data) as Chunk);

export const finishOf = (stream: Stream) =>
  chunksOf(stream)
    .flatMap(({ choices }) => choices)
    .find(({ finish_reason: reason }) => reason !== null)?.finish_reason;

export const reasoningOf = (stream: Stream): string =>
  chunksOf(stream)
    .flatMap(({ choices }) => choices.map(({ delta }) => delta.reasoning_content ?? ''))
    .join('');

/** The calls put together by their index, as a client does it. */
export function callsOf(stream: Stream): NamedCall[] {
  const calls: { name: string; arguments: string }[] = [];
  for (const { delta } of chunksOf(stream).flatMap(({ choices }) => choices)) {
    for (const { index, function: piece } of delta.tool_calls ?? []) {
      const call = (calls[index] ??= { name: '', arguments: '' });
      call.name += piece.name ?? '';
      call.arguments += piece.arguments;
    }
  }
  return namedCalls(calls);
}

/** One role and one identity over the whole stream, and one usage that can be true of its answer. */
export function expectOneAnswer(stream: Stream, tokens = 60): void {
  const chunks = chunksOf(stream);
  const identities = new Set(
    chunks.map(({ id, created, model }) => JSON.stringify([id, created, model])),
  );
  expect([...identities]).toHaveLength(1);
  const roles = chunks.flatMap(({ choices }) => choices.flatMap(({ delta }) => delta.role ?? []));
  expect(roles).toEqual(['assistant']);
  const usages = chunks.flatMap(({ usage }) => (usage ? [usage] : []));
  expect(usages).toHaveLength(1);
  const { prompt_tokens: prompt = 0, completion_tokens: completion = 0 } = usages[0] ?? {};
  expect(usages[0]?.total_tokens).toBe(prompt + completion);
  expect(prompt).toBeGreaterThan(0);
  expect(prompt).toBeLessThan(40);
  // Over a seam what was shown is counted from its text.
  expect(completion / tokens).toBeGreaterThan(0.7);
  expect(completion / tokens).toBeLessThan(1.4);
}

type NamedCall = { name: string; arguments: unknown };

/** The arguments as what they say: the two formats space them differently. */
export const namedCalls = (calls: readonly { name: string; arguments: string }[]): NamedCall[] =>
  calls.map(({ name, arguments: text }) => ({ name, arguments: JSON.parse(text) as unknown }));

/** The simulator's calls of one tool, with the usual number of words. */
export const expectedCalls = (name: string, count: number): NamedCall[] =>
  namedCalls(
    Array.from({ length: count }, (_, call) => ({
      name,
      arguments: expectedArguments(call, KEYS.words.default),
    })),
  );
