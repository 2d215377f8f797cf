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
import type { OpenAiError } from '@millrace/shared/domain/entry';
import { classifyStatus } from '@millrace/shared/domain/fault';
import type { Fault } from '@millrace/shared/domain/fault';
import { memberText, setMembers, singleLine } from '@millrace/shared/domain/json-text';
import { contentIn, templateOf } from '@millrace/shared/domain/chunk-template';
import type { ChunkTemplate } from '@millrace/shared/domain/chunk-template';
import { createEventStreamParser } from './event-stream.ts';
import { createIdentity } from './identity.ts';
import type { AnswerSink, Provider, ProviderCall, StreamReader, Verdict } from './port.ts';
import { wantsPrefixMark } from './prefill.ts';

/** The OpenAI Chat Completions wire format, and everybody who speaks it. */
export const openai: Provider = { request, readStream, readWhole, readError };

/** Bytes of one event: a whole answer can come in one, with its reasoning and its tool calls. */
const maxEventBytes = 16 * 1024 * 1024;

function request(call: ProviderCall) {
  const members: Record<string, string> = { model: JSON.stringify(call.model) };
  // Asked for always, for the ledger; shown only to who asked.
  if (call.stream) members['stream_options'] = withUsage(memberText(call.body, 'stream_options'));
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: call.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'millrace',
  };
  if (call.apiKey !== undefined) headers['authorization'] = `Bearer ${call.apiKey}`;
  if (call.traceparent !== undefined) headers['traceparent'] = call.traceparent;
  if (call.prefill) Object.assign(members, asPrefill(call));
  const { pathname } = new URL(call.baseUrl);
  return {
    path: `${pathname.replace(/\/$/, '')}/chat/completions`,
    headers,
    body: setMembers(call.body, members),
  };
}

/**
 * What makes a trailing assistant message the beginning of the answer: a mark in the message, or two
 * fields for vLLM and SGLang. Those who do it anyway pass over the fields.
 */
function asPrefill({ body, baseUrl }: ProviderCall): Record<string, string> {
  if (!wantsPrefixMark(baseUrl)) {
    return { continue_final_message: 'true', add_generation_prompt: 'false' };
  }
  const messages = memberText(body, 'messages') ?? '[]';
  return { messages: messages.replace(/\}\s*\]$/, ',"prefix":true}]') };
}

function withUsage(streamOptions: string | undefined): string {
  return streamOptions?.startsWith('{')
    ? setMembers(streamOptions, { include_usage: 'true' })
    : '{"include_usage":true}';
}

function readStream(call: ProviderCall, sink: AnswerSink): StreamReader {
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

function readWhole(text: string): Verdict {
  const answer = parse(text);
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    return fault(
      'upstream_invalid_response',
      'The provider answered with something that is no JSON object.',
    );
  }
  const error = errorOf(answer);
  if (error !== undefined) return fromErrorEvent(error);
  const first = finishReasons(answer)[0];
  return { kind: 'completed', finishReason: first?.reason ?? null, usage: usageOf(answer) };
}

function readError(status: number, text: string) {
  const told = errorOf(parse(text));
  const error = told === undefined ? undefined : toOpenAiError(told);
  return { code: classifyStatus(status, error), error };
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

function fromErrorEvent(error: unknown): Verdict {
  const told = toOpenAiError(error);
  // An error inside an answer has no status of its own; some providers name one in it.
  const status = Number(told['status_code'] ?? told['status'] ?? told.code);
  const httpStatus = status >= 400 && status < 600 ? status : 500;
  return {
    kind: 'fault',
    fault: { code: classifyStatus(httpStatus, told), message: told.message, error: told },
  };
}

/** Providers put a string, an object with some of the members, or numbers as codes. */
function toOpenAiError(error: unknown): OpenAiError & Record<string, unknown> {
  if (typeof error !== 'object' || error === null) {
    return { message: String(error), type: 'upstream_error', param: null, code: null };
  }
  const { message, type, param, code } = error as Record<string, unknown>;
  const text = (value: unknown) =>
    typeof value === 'string' || typeof value === 'number' ? String(value) : null;
  return {
    ...error,
    message: text(message) ?? 'The provider reported an error.',
    type: text(type) ?? 'upstream_error',
    param: text(param),
    code: text(code),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
