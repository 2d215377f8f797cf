import type { Result } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import type { AnswerSink, Provider, ProviderCall, StreamReader } from './provider/port.ts';
import { callUpstream } from './upstream/call.ts';
import type { ResponseHeaders, Upstream, UpstreamCall } from './upstream/call.ts';

export type AttemptTimeouts = {
  /** To the first visible chunk; streaming only. */
  firstTokenTimeoutMs: number;
  /** Between visible chunks; streaming only. */
  idleTimeoutMs: number;
  /** The whole call. */
  timeoutMs: number;
};

export type AttemptOptions = {
  dispatcher: Upstream;
  provider: Provider;
  call: ProviderCall;
  timeouts: AttemptTimeouts;
  /** The request's own end of time; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  /** Bytes of an answer that is not streamed. */
  maxResponseBytes: number;
  /**
   * The request was taken before: a target that rejects it, as it stands or as it goes on with an answer,
   * only cannot be asked this way.
   */
  accepted: boolean;
  sink: AnswerSink;
  signal: AbortSignal;
  /**
   * The first token is late. With it the attempt goes on waiting, up to its whole time; without it,
   * it has failed.
   */
  onSlow?: (() => void) | undefined;
};

export type AttemptOutcome =
  | { kind: 'completed'; finishReason: string | null; usage?: unknown; result?: Result }
  | { kind: 'fault'; fault: Fault }
  /** The signal fired: the upstream connection is closed. */
  | { kind: 'aborted' }
  /** Another attempt spoke first. */
  | { kind: 'superseded' };

export type Attempt = {
  outcome: Promise<AttemptOutcome>;
  /** When the first visible chunk came, in milliseconds since the epoch. */
  readonly firstTokenAt: number | undefined;
  /** Ends it at once, for a reason that its upstream does not know. */
  stop(reason: Fault | 'superseded'): void;
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
    settle(
      result.kind === 'fault'
        ? { kind: 'fault', fault: withoutKey(judged(result.fault), call) }
        : result,
    );
  }
  const judged = (fault: Fault): Fault =>
    options.accepted && fault.code === 'upstream_rejected'
      ? { ...fault, code: 'target_unsuited' }
      : fault;
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
    else if (firstTokenAt === undefined && options.onSlow) options.onSlow();
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

  function onVisible(): void {
    if (firstTokenAt === undefined) {
      firstTokenAt = Date.now();
      rearm(timeouts.idleTimeoutMs);
    } else if (!paused) progressTimer?.refresh();
  }

  const watched: AnswerSink = {
    plain(text, content) {
      onVisible();
      sink.plain(text, content);
    },
    chunk(text, chunk, visible) {
      if (visible) onVisible();
      sink.chunk(text, chunk, visible);
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
    if (!isSuccess(head)) return { kind: 'fault', fault: fromStatus(provider, head, text) };
    if (call.stream) return { kind: 'fault', fault: notAStream(provider, text) };
    const verdict = provider.readWhole(text, call);
    if (verdict.kind === 'fault') return verdict;
    const { body = text, ...rest } = verdict;
    const type = verdict.body === undefined ? contentType(head) : '';
    return { ...rest, result: { contentType: type || 'application/json', body } };
  }

  signal.addEventListener('abort', onAbort, { once: true });
  function start(): void {
    const request = provider.request(call);
    if ('code' in request) {
      fail(request);
      return;
    }
    upstream = callUpstream(options.dispatcher, request, {
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

  if (signal.aborted) onAbort();
  else start();

  return {
    outcome,
    get firstTokenAt() {
      return firstTokenAt;
    },
    stop: (reason) =>
      finish(reason === 'superseded' ? { kind: reason } : { kind: 'fault', fault: reason }),
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
function notAStream(provider: Provider, text: string): Fault {
  const { code, error } = provider.readError(500, text);
  if (error) return { code, message: error.message, error };
  const message = 'The provider answered a stream request with something that is no event stream.';
  return { code: 'upstream_invalid_response', message };
}

/** Providers repeat what they were sent, and the key is nobody's business. */
function withoutKey(fault: Fault, { apiKey }: ProviderCall): Fault {
  if (!apiKey) return fault;
  const text = JSON.stringify(fault);
  return text.includes(apiKey) ? (JSON.parse(text.replaceAll(apiKey, '***')) as Fault) : fault;
}

function fromStatus(provider: Provider, head: Head, text: string): Fault {
  const status = head?.status ?? 502;
  const { code, error } = provider.readError(status, text);
  const fault: Fault = {
    code,
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
