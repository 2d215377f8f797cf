import type { AnswerSink, ProviderCall, Verdict } from '../port.ts';
import { readStream } from './stream.ts';

/** What a reader made of a stream. */
export type Read = {
  /** The lines that readers would be sent, usage apart. */
  texts: string[];
  chunks: Record<string, unknown>[];
  /** All content, and how much of it came by the way that parses nothing. */
  content: string;
  plain: number;
  usages: unknown[];
  verdict: Verdict;
  /** There was a verdict before the body had ended. */
  verdictAtPush: boolean;
};

/** Reads a body in packets of `size` bytes, for a client's request `body`. */
export function read(
  stream: string | Uint8Array,
  { size = Infinity, ...call }: Partial<ProviderCall> & { size?: number } = {},
): Read {
  const texts: string[] = [];
  const usages: unknown[] = [];
  let plain = 0;
  const sink: AnswerSink = {
    plain(text) {
      plain += 1;
      texts.push(text);
    },
    chunk: (text) => texts.push(text),
    usage: (text) => usages.push(JSON.parse(text)),
  };
  const reader = readStream(
    {
      body: '{"messages":[]}',
      stream: true,
      model: 'asked',
      baseUrl: 'http://127.0.0.1/v1',
      apiKey: undefined,
      traceparent: undefined,
      prefill: false,
      identity: undefined,
      ...call,
    },
    sink,
  );
  const bytes = Buffer.from(stream as string);
  let verdict: Verdict | undefined;
  for (let at = 0; at < bytes.length && !verdict; at += size) {
    verdict = reader.push(bytes.subarray(at, at + size));
  }
  const verdictAtPush = verdict !== undefined;
  verdict ??= reader.end();
  const chunks = texts.map((text) => JSON.parse(text) as Record<string, unknown>);
  const content = chunks
    .flatMap(({ choices }) => choices as { delta?: { content?: unknown } }[])
    .map(({ delta }) => (typeof delta?.content === 'string' ? delta.content : ''))
    .join('');
  return { texts, chunks, content, plain, usages, verdict, verdictAtPush };
}

export const identity = {
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 17,
  model: 'm',
};

/** A chunk of the first choice, as JSON text. */
export const chunk = (delta: unknown, finish: string | null = null, more: object = {}): string =>
  JSON.stringify({ ...identity, choices: [{ index: 0, delta, finish_reason: finish }], ...more });

export const said = (content: string): string => chunk({ content });

/** The texts as events. */
export const events = (...data: readonly string[]): string =>
  data.map((text) => `data: ${text}\n\n`).join('');

export const end = events(chunk({}, 'stop'), '[DONE]');
