import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject, itemsOf, parseShallow } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { memberText, singleLine, withoutMember } from '@millrace/shared/domain/json-text';
import { readAnswer, truncated } from '../event-stream/answer-reader.ts';
import type { AnswerDecoder, Taken } from '../event-stream/answer-reader.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import {
  choiceIndex,
  deltaOf,
  finishReasons,
  isReadable,
  isUsageOnly,
  plainContent,
  usageOf,
  visibility,
} from './chunk.ts';
import { createChunkRepair } from './chunk-repair.ts';
import type { ChunkRepair } from './chunk-repair.ts';
import { contentIn, templateOf, withContent } from './chunk-template.ts';
import type { ChunkTemplate } from './chunk-template.ts';
import { faultIn } from './errors.ts';
import { createIdentity } from './identity.ts';
import type { Identity } from './identity.ts';

/** Chunks that may wait for the provider's identity; above that our own is used. */
const maxEarly = 16;

/** Reads the chunks of an OpenAI stream. */
export const readStream = (call: ProviderCall, sink: AnswerSink): StreamReader =>
  readAnswer(new ChunkDecoder(call, sink));

export class ChunkDecoder implements AnswerDecoder {
  private readonly call: ProviderCall;
  private readonly sink: AnswerSink;
  private readonly identity: Identity;
  private readonly chunks: ChunkRepair;
  private readonly choices: number;
  private readonly ended = new Set<number>();
  private readonly seen = new Set<number>();
  private finishReason: string | null = null;
  private usage: unknown;
  /** The templates of chunks that only add content: as received, and as readers get them if that differs. */
  private template: { read: ChunkTemplate; shown: ChunkTemplate | undefined } | undefined;
  /** Chunks without visible content that came before the provider's identity. */
  private early: { text: string; chunk: JsonObject }[] = [];

  constructor(call: ProviderCall, sink: AnswerSink) {
    this.call = call;
    this.sink = sink;
    this.identity = createIdentity(call);
    this.chunks = createChunkRepair(call, this.identity);
    this.choices = choicesAsked(call.body);
  }

  get finished(): boolean {
    return this.ended.size >= this.choices;
  }

  completed(isCut: boolean): Verdict {
    const { finishReason, usage } = this;
    return { kind: 'completed', finishReason, usage, ...(isCut && { isCut }) };
  }

  takeText({ event, data, isDamaged }: UpstreamEvent): boolean {
    if (!this.template || event === 'error' || isDamaged) return false;
    const { read, shown } = this.template;
    const content = contentIn(read, data);
    if (content === undefined) return false;
    this.sink.plain(shown ? withContent(shown, content) : data, content);
    return true;
  }

  faultIn({ event, data }: UpstreamEvent, value: JsonObject | undefined): Fault | undefined {
    if (value) return faultIn(value, this.call, event);
    return event === 'error' ? faultIn(data, this.call, event) : undefined;
  }

  /** The provider determines the number of choices: some ignore `n`. */
  done(): Taken {
    const isWhole = this.ended.size > 0 && this.ended.size >= this.seen.size;
    return isWhole ? 'completed' : truncated('without a finish_reason');
  }

  take(chunk: JsonObject, { data }: UpstreamEvent): Taken {
    if (!isReadable(chunk)) return 'damaged';
    const text = singleLine(data);
    const usage = usageOf(chunk);
    this.usage = usage ?? this.usage;
    const isChunk = chunk['choices'] !== undefined && chunk['choices'] !== null;
    // Without choices it is no part of the answer, but a ping in the provider's own format.
    if (!isChunk && usage === undefined) return undefined;
    if (this.waitsForIdentity(text, chunk)) return undefined;
    if (isChunk && !isUsageOnly(chunk)) this.pass(text, chunk);
    // Also for a chunk that has it beside a part of the answer: a client that did not ask for it gets none.
    if (usage !== undefined) this.sink.usage(this.chunks.usageChunk(text, chunk));
    return undefined;
  }

  takeUsage(chunk: JsonObject, { data }: UpstreamEvent): void {
    const usage = usageOf(chunk);
    if (usage === undefined) return;
    this.usage = usage;
    const text = withoutMember(singleLine(data), 'error');
    this.sink.usage(this.chunks.usageChunk(text, parseShallow(text) as JsonObject));
  }

  /** Keeps the chunk until the identity is known, and then passes on the kept ones. */
  private waitsForIdentity(text: string, chunk: JsonObject): boolean {
    const { identity } = this;
    if (!identity.isKnown) {
      identity.learn(chunk);
      if (!identity.isKnown && this.early.length < maxEarly && isPreamble(chunk)) {
        this.early.push({ text, chunk });
        return true;
      }
      identity.settle();
    }
    const waiting = this.early;
    if (waiting.length > 0) this.early = [];
    for (const one of waiting) this.pass(one.text, one.chunk);
    return false;
  }

  private pass(text: string, chunk: JsonObject): void {
    for (const [position, choice] of itemsOf(chunk['choices']).entries()) {
      if (isJsonObject(choice)) this.seen.add(choiceIndex(choice, position));
    }
    for (const { index, reason } of finishReasons(chunk)) {
      if (index === 0) this.finishReason ??= reason;
      this.ended.add(index);
    }
    const shown = this.chunks.repair(text, chunk);
    const shownChunk = shown === text ? chunk : (parseShallow(shown) as JsonObject);
    const isPlain = usageOf(chunk) === undefined && isPlainContent(shownChunk);
    this.template = isPlain ? templatesOf(text, shown) : undefined;
    this.sink.chunk(shown, shownChunk, visibility(shownChunk) === 'visible');
  }
}

/** A chunk without visible content or an end, which can wait for the next one. */
const isPreamble = (chunk: JsonObject): boolean =>
  visibility(chunk) === 'empty' &&
  finishReasons(chunk).length === 0 &&
  usageOf(chunk) === undefined;

/** A chunk with the role is no template, because the role is sent once and later chunks do not have it. */
const isPlainContent = (chunk: JsonObject): boolean =>
  plainContent(chunk) !== undefined && !deltaOf(itemsOf(chunk['choices'])[0])?.['role'];

function templatesOf(text: string, shown: string) {
  const read = templateOf(text);
  if (!read || shown === text) return read && { read, shown: undefined };
  const own = templateOf(shown);
  return own && { read, shown: own };
}

/** `n`, if the request has a valid one; otherwise 1. */
export function choicesAsked(body: string): number {
  const n = Number(memberText(body, 'n') ?? 1);
  return Number.isInteger(n) && n > 0 ? n : 1;
}
