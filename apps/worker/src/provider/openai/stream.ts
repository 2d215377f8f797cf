import {
  choiceIndex,
  errorOf,
  finishReasons,
  isObject,
  isReadable,
  isUsageOnly,
  itemsOf,
  plainContent,
  usageOf,
  visibility,
} from '@millrace/shared/domain/chunk';
import { contentIn, templateOf } from '@millrace/shared/domain/chunk-template';
import type { ChunkTemplate } from '@millrace/shared/domain/chunk-template';
import type { Fault } from '@millrace/shared/domain/fault';
import { memberText, setMembers, singleLine } from '@millrace/shared/domain/json-text';
import { damagedEvent, readEvent } from '../event.ts';
import type { ReadEvent } from '../event.ts';
import { createEventStreamParser } from '../event-stream.ts';
import type { UpstreamEvent } from '../event-stream.ts';
import { createIdentity } from '../identity.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import { fromErrorEvent } from './errors.ts';

/** Bytes of one event: a whole answer can come in one, with its reasoning and its tool calls. */
const maxEventBytes = 16 * 1024 * 1024;

/** Reads the chunks of an OpenAI stream. */
export function readStream(call: ProviderCall, sink: AnswerSink): StreamReader {
  const choices = choicesAsked(call.body);
  const finished = new Set<number>();
  const seen = new Set<number>();
  let finishReason: string | null = null;
  let usage: unknown;
  const identity = createIdentity(call.identity);
  let template: ChunkTemplate | undefined;
  let events = 0;
  let verdict: Verdict | undefined;

  const completed = (): Verdict => ({ kind: 'completed', finishReason, usage });
  const isFinished = () => finished.size >= choices;
  /** With `[DONE]`, it is the provider's word how many choices there are: some pass over `n`. */
  const isEnded = () => finished.size > 0 && finished.size >= seen.size;

  function onEvent(event: UpstreamEvent): void {
    if (verdict) return;
    if (template && event.event === undefined && !event.isDamaged) {
      const content = contentIn(template, event.data);
      if (content !== undefined) {
        sink.plain(event.data, content);
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
    if (isFinished() && error === undefined) return;
    if (isFinished()) verdict = completed();
    else verdict = error === undefined ? damagedEvent : fromErrorEvent(error);
  }

  function take(text: string, chunk: unknown): void {
    const told = usageOf(chunk);
    usage = told ?? usage;
    const isChunk = isObject(chunk) && chunk['choices'] != null;
    // Without choices it is no part of the answer: a ping in the provider's own words.
    if (!isChunk && told === undefined) return;
    const changed = identity.changed(chunk);
    const shown = changed ? setMembers(text, changed) : text;
    if (isUsageOnly(chunk)) {
      sink.usage(shown);
      return;
    }
    for (const [place, choice] of choicesOf(chunk).entries()) {
      if (isObject(choice)) seen.add(choiceIndex(choice, place));
    }
    const ended = finishReasons(chunk);
    for (const { index, reason } of ended) {
      finished.add(index);
      if (index === 0) finishReason = reason;
    }
    const isPlain = told === undefined && shown === text && plainContent(chunk) !== undefined;
    template = isPlain ? templateOf(text) : undefined;
    sink.chunk(shown, changed ? JSON.parse(shown) : chunk, visibility(chunk) === 'visible');
  }

  const parser = createEventStreamParser({ onEvent, maxEventBytes });

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
          'The provider sent an event beyond every bound.',
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
  if (read.kind === 'json')
    return errorOf(read.value) ?? (event === 'error' ? read.value : undefined);
  return event === 'error' ? data : undefined;
}

const choicesOf = (chunk: unknown): readonly unknown[] =>
  isObject(chunk) ? itemsOf(chunk['choices']) : [];

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
