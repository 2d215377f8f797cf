import {
  choiceIndex,
  errorOf,
  finishReasons,
  isObject,
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
import { createEventStreamParser } from '../event-stream.ts';
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

  function onEvent(event: { event?: string | undefined; data: string }): void {
    if (verdict || event.data === '') return;
    events += 1;
    if (event.data === '[DONE]') {
      verdict = isEnded() ? completed() : truncated('without a finish_reason');
      return;
    }
    if (template && event.event !== 'error') {
      const content = contentIn(template, event.data);
      if (content !== undefined) {
        sink.plain(event.data, content);
        return;
      }
    }
    const chunk = parse(event.data);
    // One event that is no JSON does not spoil the answer around it.
    if (chunk === undefined) return;
    const error = event.event === 'error' ? (errorOf(chunk) ?? chunk) : errorOf(chunk);
    if (error !== undefined) {
      // After the finish_reason the answer is whole: nothing that follows can break it.
      verdict = isFinished() ? completed() : fromErrorEvent(error);
      return;
    }
    take(singleLine(event.data), chunk);
  }

  function take(text: string, chunk: unknown): void {
    const told = usageOf(chunk);
    usage = told ?? usage;
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

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
