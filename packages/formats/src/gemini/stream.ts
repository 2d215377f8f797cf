import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject, itemsOf, withinDepth } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { readAnswer } from '../event-stream/answer-reader.ts';
import type { AnswerDecoder, Taken } from '../event-stream/answer-reader.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import { parseExactly } from '../exact-json.ts';
import { choiceIndex, visibility } from '../openai-chat/chunk.ts';
import { completionId, createChunkWriter } from '../openai-chat/chunk-writer.ts';
import type { Choice, ChunkWriter, Delta } from '../openai-chat/chunk-writer.ts';
import { choicesAsked } from '../openai-chat/stream.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import { createCandidateReader, logprobsOf } from './candidate.ts';
import type { CandidateReader } from './candidate.ts';
import { faultIn } from './errors.ts';
import { toOpenAiUsage } from './usage.ts';

/** The part of the call that a reader needs. */
export type StreamCall = Pick<ProviderCall, 'body' | 'model' | 'identity' | 'native'>;

/** Reads Gemini's events, each of them a `GenerateContentResponse`, and writes OpenAI chunks. */
export const readStream = (
  call: StreamCall,
  sink: AnswerSink,
  now: () => number = Date.now,
): StreamReader => readAnswer(new GeminiDecoder(call, sink, now));

/** Reads the responses of one answer in sequence; a whole answer is a single one. */
export class GeminiDecoder implements AnswerDecoder {
  private readonly call: StreamCall;
  private readonly sink: AnswerSink;
  private readonly now: () => number;
  private readonly choices: number;
  private readonly candidates = new Map<number, CandidateReader>();
  private readonly ended = new Set<number>();
  private writer: ChunkWriter | undefined;
  private usage: Record<string, unknown> | undefined;
  /** The usage arrived with the end of the answer, or behind it. */
  private isCounted = false;
  private finishReason: string | undefined;

  constructor(call: StreamCall, sink: AnswerSink, now: () => number) {
    this.call = call;
    this.sink = sink;
    this.now = now;
    this.choices = choicesAsked(call.body);
  }

  get finished(): boolean {
    return this.ended.size >= this.choices;
  }

  /** A stream of Gemini's has no end marker, so nothing is missing if the usage was reported. */
  completed(): Verdict {
    const { usage, isCounted } = this;
    return {
      kind: 'completed',
      finishReason: this.finishReason ?? null,
      ...(isCounted && usage && { usage }),
      ...(!isCounted && { isCut: true as const }),
    };
  }

  /** Other providers' `[DONE]` has no meaning here. */
  done(): Taken {
    return 'ignored';
  }

  faultIn(_event: unknown, value: JsonObject | undefined): Fault | undefined {
    return value && faultIn(value, { body: this.call.body });
  }

  take(value: JsonObject, { data }: Pick<UpstreamEvent, 'data'>): Taken {
    const { candidates, usageMetadata: usage } = value;
    const hasCandidates = candidates !== undefined && candidates !== null;
    if (!hasCandidates && !isJsonObject(usage)) return 'ignored';
    if (hasCandidates && !Array.isArray(candidates)) return 'damaged';
    const exact = exactCandidates(data);
    const added: Choice[] = [];
    for (const [position, candidate] of itemsOf(candidates).entries()) {
      if (!isJsonObject(candidate)) return 'damaged';
      const choices = this.readCandidate(candidate, position, exact[position], value);
      if (choices === 'damaged') return 'damaged';
      added.push(...choices);
    }
    if (this.call.native && !isPlainText(value)) this.writeNative(added, value);
    else for (const choice of added) this.show(choice, value);
    if (isJsonObject(usage)) this.count(usage, value);
    return undefined;
  }

  private readCandidate(
    candidate: JsonObject,
    position: number,
    exact: unknown,
    value: JsonObject,
  ): Choice[] | 'damaged' {
    const index = choiceIndex(candidate, position);
    // What follows an end cannot be shown any more.
    if (this.ended.has(index)) return [];
    const known = this.candidates.get(index);
    const reader = known ?? createCandidateReader();
    const deltas = reader.read(candidate, exact);
    if (deltas === 'damaged') return 'damaged';
    if (!known) {
      this.candidates.set(index, reader);
      this.write({ index, delta: { role: 'assistant', content: '', refusal: null } }, value);
    }
    const logprobs = logprobsOf(candidate);
    const choices: Choice[] = deltas.map((delta, n) => ({
      index,
      delta,
      ...(n === deltas.length - 1 && logprobs && { logprobs }),
    }));
    const end = reader.end(candidate);
    if (!end) return choices;
    if (index === 0) this.finishReason = end.finishReason;
    this.ended.add(index);
    return [...choices, { index, ...end }];
  }

  private show(choice: Choice, value: JsonObject): void {
    const { content } = choice.delta;
    if (content === undefined || choice.index !== 0 || choice.logprobs) {
      this.write(choice, value);
      return;
    }
    // A delta with content has nothing else.
    this.sink.plain(this.begin(value).content(content), content);
  }

  private write({ delta, ...members }: Choice, value: JsonObject): void {
    const { text, chunk } = this.begin(value).delta(delta, members);
    this.sink.chunk(text, chunk, visibility(chunk) === 'visible');
  }

  /** One chunk for the event, so that the client gets the event once. */
  private writeNative(added: readonly Choice[], value: JsonObject): void {
    const choices = new Map<number, Choice>();
    for (const choice of added) {
      const { index = 0 } = choice;
      const present = choices.get(index);
      choices.set(index, present ? joined(present, choice) : choice);
    }
    const all = choices.size > 0 ? [...choices.values()] : [{ delta: {} }];
    const { text, chunk } = this.begin(value).choices(all, value);
    this.sink.chunk(text, chunk, visibility(chunk) === 'visible');
  }

  private count(usage: JsonObject, value: JsonObject): void {
    this.usage = toOpenAiUsage(usage);
    this.isCounted = this.finished;
    this.sink.usage(this.begin(value).usage(this.usage));
  }

  private begin({ responseId, modelVersion }: JsonObject): ChunkWriter {
    const { identity, model } = this.call;
    this.writer ??= createChunkWriter({
      id: identity?.id ?? completionId(responseId),
      created: identity?.created ?? Math.floor(this.now() / 1000),
      model:
        identity?.model ??
        (typeof modelVersion === 'string' && modelVersion !== '' ? modelVersion : model),
    });
    return this.writer;
  }
}

/** An event that only adds text to the first choice: the chunk says everything. */
function isPlainText({ candidates, promptFeedback }: JsonObject): boolean {
  const [candidate, ...others] = itemsOf(candidates);
  if (!isJsonObject(candidate) || others.length > 0 || promptFeedback !== undefined) return false;
  const { content, index, ...more } = candidate;
  const parts = isJsonObject(content) ? itemsOf(content['parts']) : [];
  const isText = (part: unknown) =>
    isJsonObject(part) && Object.keys(part).length === 1 && typeof part['text'] === 'string';
  return (index ?? 0) === 0 && Object.keys(more).length === 0 && parts.every(isText);
}

function joined(first: Choice, second: Choice): Choice {
  const { delta, ...members } = second;
  return { ...first, ...members, delta: joinedDelta(first.delta, delta) };
}

function joinedDelta(first: Delta, second: Delta): Delta {
  const content = (first.content ?? '') + (second.content ?? '');
  const reasoning = (first.reasoning_content ?? '') + (second.reasoning_content ?? '');
  const calls = [...(first.tool_calls ?? []), ...(second.tool_calls ?? [])];
  const images = [...(first.images ?? []), ...(second.images ?? [])];
  return {
    ...first,
    ...second,
    ...(content !== '' && { content }),
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(images.length > 0 && { images }),
  };
}

/** The candidates with numbers that a double cannot hold, if the event has such numbers in the arguments of a call. */
function exactCandidates(data: string): readonly unknown[] {
  if (!data.includes('"functionCall"') || !/\d{16}/.test(data)) return [];
  const value = withinDepth(parseExactly(data));
  return isJsonObject(value) ? itemsOf(value['candidates']) : [];
}
