import type { Result } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Dispatcher } from 'undici';
import type { AnswerSink, Provider, ProviderCall, StreamReader, Verdict } from './provider/port.ts';
import { callUpstream } from './upstream/call.ts';
import type { ResponseHeaders, UpstreamCall } from './upstream/call.ts';

export type AttemptTimeouts = {
  /** To the first visible chunk; streaming only. */
  firstTokenTimeoutMs: number;
  /** Between visible chunks; streaming only. */
  idleTimeoutMs: number;
  /** The whole call. */
  timeoutMs: number;
};

export type AttemptOptions = {
  dispatcher: Dispatcher;
  provider: Provider;
  call: ProviderCall;
  timeouts: AttemptTimeouts;
  /** The request's own end of time; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  /** Bytes of an answer that is not streamed. */
  maxResponseBytes: number;
  sink: AnswerSink;
  signal: AbortSignal;
};

export type AttemptOutcome =
  | { kind: 'completed'; finishReason: string | null; usage?: unknown; result?: Result }
  | { kind: 'fault'; fault: Fault }
  /** The signal fired: the upstream connection is closed. */
  | { kind: 'aborted' };

export type Attempt = {
  outcome: Promise<AttemptOutcome>;
  /** When the first visible chunk came, in milliseconds since the epoch. */
  readonly firstTokenAt: number | undefined;
  /** Stops reading from the provider, and its idle clock. */
  pause(): void;
  resume(): void;
};

/** Milliseconds for usage and `[DONE]` after the last finish_reason; then the answer counts as whole. */
const finishGraceMs = 1000;
/** Bytes of an error body that are read. */
const maxErrorBytes = 256 * 1024;

/** Makes one upstream call and judges it. Never rejects. */
export function startAttempt(options: AttemptOptions): Attempt {
  const { provider, call, timeouts, sink, signal } = options;
  let firstTokenAt: number | undefined;
  let paused = false;
  let settled = false;
  let upstream: UpstreamCall | undefined;
  let head: { status: number; headers: ResponseHeaders } | undefined;
  let reader: StreamReader | undefined;
  const whole: Buffer[] = [];
  let wholeBytes = 0;
  let settle: (outcome: AttemptOutcome) => void = () => {};
  const outcome = new Promise<AttemptOutcome>((resolve) => (settle = resolve));

  function finish(result: AttemptOutcome): void {
    if (settled) return;
    settled = true;
    clearTimeout(totalTimer);
    clearTimeout(progressTimer);
    signal.removeEventListener('abort', onAbort);
    if (result.kind === 'completed') upstream?.release();
    else upstream?.abort();
    settle(result);
  }
  const fail = (fault: Fault) => finish({ kind: 'fault', fault });
  const onAbort = () => finish({ kind: 'aborted' });

  const { deadlineAt = Infinity } = options;
  const untilDeadlineMs = Math.max(0, deadlineAt - Date.now());
  const totalTimer =
    untilDeadlineMs < timeouts.timeoutMs
      ? setTimeout(() => fail(tooLate), untilDeadlineMs)
      : setTimeout(() => fail(tooLong), timeouts.timeoutMs);
  let progressTimer = call.stream
    ? setTimeout(onNoProgress, timeouts.firstTokenTimeoutMs)
    : undefined;

  function onNoProgress(): void {
    if (reader?.finished) finish(reader.end());
    else if (firstTokenAt === undefined) {
      fail({
        code: 'upstream_first_token_timeout',
        message: 'The provider sent no first token in time.',
      });
    } else {
      fail({
        code: 'upstream_idle_timeout',
        message: 'The provider fell silent in the middle of its answer.',
      });
    }
  }

  function rearm(ms: number): void {
    clearTimeout(progressTimer);
    if (!settled && !paused) progressTimer = setTimeout(onNoProgress, ms);
  }

  const watched: AnswerSink = {
    chunk(text, visible) {
      if (visible) {
        if (firstTokenAt === undefined) {
          firstTokenAt = Date.now();
          rearm(timeouts.idleTimeoutMs);
        } else if (!paused) progressTimer?.refresh();
      }
      sink.chunk(text, visible);
    },
    usage: (text) => sink.usage(text),
  };

  function onData(bytes: Buffer): void {
    if (reader) {
      const wasFinished = reader.finished;
      const verdict = reader.push(bytes);
      if (verdict) finish(verdict);
      else if (reader.finished && !wasFinished)
        rearm(Math.min(finishGraceMs, timeouts.idleTimeoutMs));
      return;
    }
    whole.push(bytes);
    wholeBytes += bytes.length;
    const bound = isSuccess(head) ? options.maxResponseBytes : maxErrorBytes;
    if (wholeBytes <= bound) return;
    if (isSuccess(head)) {
      fail({
        code: 'upstream_response_too_large',
        message: `The provider's answer is larger than ${bound} bytes.`,
      });
    } else finish(judgeWhole());
  }

  function judgeWhole(): AttemptOutcome {
    const text = Buffer.concat(whole).toString('utf8');
    if (!isSuccess(head)) return { kind: 'fault', fault: fromStatus(provider, call, head, text) };
    const verdict: Verdict = call.stream ? notAStream(provider, text) : provider.readWhole(text);
    if (verdict.kind === 'fault') return verdict;
    return {
      ...verdict,
      result: { contentType: contentType(head) || 'application/json', body: text },
    };
  }

  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  else {
    upstream = callUpstream(options.dispatcher, provider.request(call), {
      onHead(status, headers) {
        head = { status, headers };
        if (call.stream && isSuccess(head) && contentType(head).includes('text/event-stream')) {
          reader = provider.readStream(call, watched);
        }
      },
      onData,
      onEnd: () => finish(reader ? reader.end() : judgeWhole()),
      onFault(fault) {
        if (reader?.finished) finish(reader.end());
        else fail(fault);
      },
    });
  }

  return {
    outcome,
    get firstTokenAt() {
      return firstTokenAt;
    },
    pause() {
      paused = true;
      clearTimeout(progressTimer);
      upstream?.pause();
    },
    resume() {
      paused = false;
      rearm(firstTokenAt === undefined ? timeouts.firstTokenTimeoutMs : timeouts.idleTimeoutMs);
      upstream?.resume();
    },
  };
}

const tooLong: Fault = {
  code: 'upstream_timeout',
  message: 'The provider took too long for the whole answer.',
};

const tooLate: Fault = {
  code: 'deadline_exceeded',
  message: 'The deadline of the request passed before its answer was complete.',
};

type Head = { status: number; headers: ResponseHeaders } | undefined;

const isSuccess = (head: Head): boolean =>
  head !== undefined && head.status >= 200 && head.status < 300;

const contentType = (head: Head): string => String(head?.headers['content-type'] ?? '');

/** A success status without an event stream: an error in disguise, or nothing that we know. */
function notAStream(provider: Provider, text: string): Verdict {
  const error = provider.readError(text);
  if (error)
    return {
      kind: 'fault',
      fault: { code: 'upstream_error_event', message: error.message, error },
    };
  const message = 'The provider answered a stream request with something that is no event stream.';
  return { kind: 'fault', fault: { code: 'upstream_invalid_response', message } };
}

function fromStatus(provider: Provider, call: ProviderCall, head: Head, text: string): Fault {
  const status = head?.status ?? 502;
  const error = provider.readError(call.apiKey ? text.replaceAll(call.apiKey, '***') : text);
  const fault: Fault = {
    code: 'upstream_error_status',
    message: `The provider answered with status ${status}.`,
    // Redirects and the like mean nothing to the client.
    httpStatus: status >= 400 ? status : 502,
  };
  if (error) fault.error = error;
  const retryAfterMs = retryAfter(head?.headers ?? {});
  if (retryAfterMs !== undefined) fault.retryAfterMs = retryAfterMs;
  return fault;
}

/** `retry-after-ms`, or `Retry-After` in seconds or as a date; in milliseconds. */
export function retryAfter(headers: ResponseHeaders, now = Date.now()): number | undefined {
  const ms = Number(headers['retry-after-ms']);
  if (ms >= 0) return ms;
  const text = headers['retry-after'];
  if (typeof text !== 'string') return undefined;
  const seconds = Number(text);
  if (seconds >= 0) return seconds * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
