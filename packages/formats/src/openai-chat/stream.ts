import type { JsonObject } from '@millrace/shared/domain/json';
import { parseShallow, isJsonObject, itemsOf } from '@millrace/shared/domain/json';
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
import { contentIn, templateOf, withContent } from './chunk-template.ts';
import type { ChunkTemplate } from './chunk-template.ts';
import type { Fault } from '@millrace/shared/domain/fault';
import { memberText, singleLine } from '@millrace/shared/domain/json-text';
import { damagedEvent, readEvent } from '../event-stream/read-event.ts';
import type { ReadEvent } from '../event-stream/read-event.ts';
import { createEventStreamParser } from '../event-stream/parser.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import { createIdentity } from './identity.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import { createChunkRepair } from './chunk-repair.ts';
import { errorInJson, fromErrorEvent } from './errors.ts';

/** Bytes of one event: a whole answer can come in one, with its reasoning and its tool calls. */
const maxEventBytes = 16 * 1024 * 1024;

/** Chunks that may wait for the provider's identity; past it one of ours is taken. */
const maxEarly = 16;

/** Reads the chunks of an OpenAI stream. */
export function readStream(call: ProviderCall, sink: AnswerSink): StreamReader {
  const choices = choicesAsked(call.body);
  const finished = new Set<number>();
  const seen = new Set<number>();
  let finishReason: string | null = null;
  let usage: unknown;
  const identity = createIdentity(call);
  const { repair, usageChunk } = createChunkRepair(call, identity);
  /** Of chunks that add nothing but content: as they come, and as readers get them where that differs. */
  let template: { read: ChunkTemplate; shown: ChunkTemplate | undefined } | undefined;
  /** Chunks in which nothing is visible, from before the provider has told its identity. */
  let early: { text: string; chunk: JsonObject }[] = [];
  let events = 0;
  let verdict: Verdict | undefined;

  /** Something behind the last finish_reason could not be read. */
  let isCut = false;

  const completed = (): Verdict => ({
    kind: 'completed',
    finishReason,
    usage,
    ...(isCut && { isCut }),
  });
  const isFinished = () => finished.size >= choices;
  /** With `[DONE]`, it is the provider's word how many choices there are: some pass over `n`. */
  const isEnded = () => finished.size > 0 && finished.size >= seen.size;

  function onEvent(event: UpstreamEvent): void {
    if (verdict) return;
    if (template && event.event !== 'error' && !event.isDamaged) {
      const content = contentIn(template.read, event.data);
      if (content !== undefined) {
        sink.plain(template.shown ? withContent(template.shown, content) : event.data, content);
        return;
      }
    }
    const read = readEvent(event);
    if (read.kind === 'nothing') return;
    events += 1;
    if (read.kind === 'done') {
      verdict = isEnded() ? completed() : truncated('without a finish_reason');
      return;
    }
    const error = errorIn(event, read);
    if (error === undefined && read.kind === 'json' && isReadable(read.value)) {
      take(singleLine(event.data), read.value);
      return;
    }
    // After the finish_reason the answer is whole: nothing that follows can break it.
    if (isFinished()) isCut = true;
    if (isFinished() && error === undefined) return;
    if (isFinished()) verdict = completed();
    else verdict = error === undefined ? damagedEvent : fromErrorEvent(error, { body: call.body });
  }

  function take(text: string, chunk: JsonObject): void {
    const told = usageOf(chunk);
    usage = told ?? usage;
    const isChunk = chunk['choices'] !== undefined && chunk['choices'] !== null;
    // Without choices it is no part of the answer: a ping in the provider's own words.
    if (!isChunk && told === undefined) return;
    if (!identity.isKnown) {
      identity.learn(chunk);
      if (!identity.isKnown && early.length < maxEarly && isPreamble(chunk)) {
        early.push({ text, chunk });
        return;
      }
      identity.settle();
    }
    const waiting = early;
    early = [];
    for (const one of waiting) pass(one.text, one.chunk);
    if (isChunk && !isUsageOnly(chunk)) pass(text, chunk);
    // Also of a chunk that has it beside a part of the answer: who did not ask for it gets none.
    if (told !== undefined) sink.usage(usageChunk(text, chunk));
  }

  function pass(text: string, chunk: JsonObject): void {
    for (const [place, choice] of itemsOf(chunk['choices']).entries()) {
      if (isJsonObject(choice)) seen.add(choiceIndex(choice, place));
    }
    for (const { index, reason } of finishReasons(chunk)) {
      if (index === 0) finishReason ??= reason;
      finished.add(index);
    }
    const shown = repair(text, chunk);
    const shownChunk = shown === text ? chunk : (parseShallow(shown) as JsonObject);
    const isPlain = usageOf(chunk) === undefined && isPlainContent(shownChunk);
    template = isPlain ? templatesOf(text, shown) : undefined;
    sink.chunk(shown, shownChunk, visibility(shownChunk) === 'visible');
  }

  const parser = createEventStreamParser({
    onEvent,
    onStray: (data) => onEvent({ data }),
    maxEventBytes,
  });

  return {
    get finished() {
      return isFinished();
    },
    push(bytes) {
      try {
        parser.push(bytes);
      } catch {
        verdict ??= fault(
          'upstream_response_too_large',
          'The provider sent an event that is larger than this server reads.',
        );
      }
      return verdict;
    },
    end() {
      try {
        parser.end();
      } catch {
        // Too large: told below as what it is to the reader, an answer that has no end.
      }
      if (verdict) return verdict;
      // Without `[DONE]`: what was to come in front of it may be missing.
      isCut = true;
      if (isFinished()) return completed();
      return events === 0
        ? fault(
            'upstream_invalid_response',
            'The provider answered a stream request with no event.',
          )
        : truncated('before it was complete');
    },
  };
}

/** What an event named `error` says is the error, whatever it is. */
function errorIn({ event, data }: UpstreamEvent, read: ReadEvent): unknown {
  if (read.kind === 'json') return errorInJson(read.value, event);
  return event === 'error' ? data : undefined;
}

/** Nothing that a reader would see, and no end: it can wait for the chunk behind it. */
const isPreamble = (chunk: JsonObject): boolean =>
  visibility(chunk) === 'empty' &&
  finishReasons(chunk).length === 0 &&
  usageOf(chunk) === undefined;

/** A chunk with the role is no template: the role is shown once, and the chunks behind it are without. */
const isPlainContent = (chunk: JsonObject): boolean =>
  plainContent(chunk) !== undefined && !deltaOf(itemsOf(chunk['choices'])[0])?.['role'];

function templatesOf(text: string, shown: string) {
  const read = templateOf(text);
  if (!read || shown === text) return read && { read, shown: undefined };
  const own = templateOf(shown);
  return own && { read, shown: own };
}

/** `n`, where the request has a whole number of choices in it. */
function choicesAsked(body: string): number {
  const n = Number(memberText(body, 'n') ?? 1);
  return Number.isInteger(n) && n > 0 ? n : 1;
}

const fault = (code: Fault['code'], message: string): Verdict => ({
  kind: 'fault',
  fault: { code, message },
});

const truncated = (how: string): Verdict =>
  fault('upstream_truncated', `The provider ended its answer ${how}.`);
