import type { Result } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import { redactBody, redactSink } from './answer-redaction.ts';
import { ourFault } from './failed-attempt.ts';
import type { TimeLimit } from '../continuation/time-limit.ts';
import { createSniffer } from '@millrace/formats/event-stream/answer-kind';
import type { AnswerKind, AnswerSniffer } from '@millrace/formats/event-stream/answer-kind';
import type {
  AnswerSink,
  ProviderCall,
  ProviderFormat,
  StreamReader,
} from '@millrace/formats/port';
import { callUpstream } from '../upstream/call.ts';
import type { Upstream, UpstreamCall } from '../upstream/call.ts';
import type { CallWatch } from '../upstream/target-access.ts';
import { createBodyReader, isSuccess, noAnswer, untranslatable } from './response-classifier.ts';
import type { Head, BodyReader } from './response-classifier.ts';
import { redactFault } from './key-redaction.ts';

export type AttemptTimeouts = {
  /** To the first visible chunk; streaming only. */
  firstTokenTimeoutMs: number;
  /** Between visible chunks; streaming only. */
  idleTimeoutMs: number;
};

export type AttemptOptions = {
  dispatcher: Upstream;
  format: ProviderFormat;
  call: ProviderCall;
  timeouts: AttemptTimeouts;
  /** The end of the whole request's time. */
  limit: TimeLimit;
  /** Bytes of an answer that is not streamed. */
  maxResponseBytes: number;
  /**
   * The request was taken before: a target that rejects it, as it stands or as it goes on with an answer,
   * only cannot be asked this way.
   */
  wasAccepted: boolean;
  sink: AnswerSink;
  /** What is to be known of the call while it lives. */
  watch?: Pick<CallWatch, 'head' | 'firstToken'>;
  signal: AbortSignal;
  /**
   * The first token is late. With it the attempt goes on waiting, up to its whole time; without it,
   * it has failed.
   */
  onSlow?: (() => void) | undefined;
  /** This process stood still: a silence that it measured says nothing about the provider. */
  wasLate?: (() => boolean) | undefined;
  /** A bug of ours: the attempt fails, and this reports why. */
  onError(error: unknown): void;
};

export type Completed = {
  kind: 'completed';
  finishReason: string | null;
  usage?: unknown;
  result?: Result;
  /** As in a reader's verdict. */
  isCut?: true;
};

export type AttemptOutcome =
  | Completed
  | { kind: 'fault'; fault: Fault }
  /** The signal fired: the upstream connection is closed. */
  | { kind: 'aborted' }
  /** Another attempt spoke first. */
  | { kind: 'superseded' };

export type Attempt = {
  outcome: Promise<AttemptOutcome>;
  /** When the first visible chunk came, in milliseconds since the epoch. */
  readonly firstTokenAt: number | undefined;
  /** Bytes of a response that is gathered as a whole. */
  readonly heldBytes: number;
  /** Ends it at once, for a reason that its upstream does not know. */
  stop(reason: Fault | 'superseded'): void;
  /** Stops reading from the provider, and its idle clock. */
  pause(): void;
  resume(): void;
};

/** Milliseconds from the first token on in which every chunk is read as it comes. */
const promptMs = 250;
/** Milliseconds for usage and `[DONE]` after the last finish_reason; then the answer counts as whole. */
const finishGraceMs = 1000;

/** Makes one upstream call and judges it. Never throws and never rejects. */
export function startAttempt(options: AttemptOptions): Attempt {
  const { format, call, timeouts, limit, maxResponseBytes, signal, onError } = options;
  const sink = redactSink(options.sink, call.apiKey);
  const startedAt = Date.now();
  let firstTokenAt: number | undefined;
  let paused = false;
  let gathers = false;
  let settled = false;
  let upstream: UpstreamCall | undefined;
  /** Of a response of which it is not known yet how it is to be read. */
  let sniffed: { head: Head; sniffer: AnswerSniffer } | undefined;
  /** What the response is read by: one of them, from its first bytes on. */
  let reader: StreamReader | undefined;
  let bodyReader: BodyReader | undefined;
  let settle: (outcome: AttemptOutcome) => void = () => {};
  const outcome = new Promise<AttemptOutcome>((resolve) => (settle = resolve));

  function finish(result: AttemptOutcome): void {
    if (settled) return;
    settled = true;
    clearTimeout(limitTimer);
    clearTimeout(progressTimer);
    signal.removeEventListener('abort', onAbort);
    gather(false);
    if (result.kind === 'completed') upstream?.release();
    else upstream?.abort();
    settle(redacted(result));
  }
  /** As others may hear it: nothing in it is the operator's. */
  function redacted(outcome: AttemptOutcome): AttemptOutcome {
    if (outcome.kind === 'fault') {
      return { ...outcome, fault: redactFault(reclassified(outcome.fault), call.apiKey) };
    }
    if (outcome.kind !== 'completed' || !outcome.result) return outcome;
    const body = redactBody(outcome.result.body, call.apiKey);
    return { ...outcome, result: { ...outcome.result, body } };
  }
  function reclassified(fault: Fault): Fault {
    if (fault.code !== 'upstream_rejected') return fault;
    // It began to answer, so what it says now is no word on the request.
    if (firstTokenAt !== undefined) return { ...fault, code: 'upstream_server_error' };
    return options.wasAccepted ? { ...fault, code: 'target_unsuited' } : fault;
  }
  const fail = (fault: Fault) => finish({ kind: 'fault', fault });
  const onAbort = () => finish({ kind: 'aborted' });

  const crash = (error: unknown) => {
    onError(error);
    fail(ourFault);
  };
  /** What is called from a timer or a socket has nobody above it to catch what it throws. */
  const guarded =
    <Args extends unknown[]>(act: (...args: Args) => void) =>
    (...args: Args): void => {
      try {
        act(...args);
      } catch (error) {
        crash(error);
      }
    };

  const limitTimer = setTimeout(() => fail(limit.fault), Math.max(0, limit.at - Date.now()));
  let progressTimer = call.stream
    ? setTimeout(guarded(onNoProgress), timeouts.firstTokenTimeoutMs)
    : undefined;

  function onNoProgress(): void {
    // What the provider sent meanwhile waits in the socket, which is read after the timers.
    if (options.wasLate?.()) rearm(patienceMs());
    else if (reader?.finished) finish(reader.end());
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
    if (!settled && !paused && call.stream) progressTimer = setTimeout(guarded(onNoProgress), ms);
  }

  /** Of silence that is allowed now. */
  function patienceMs(): number {
    const { firstTokenTimeoutMs, idleTimeoutMs } = timeouts;
    if (reader?.finished) return Math.min(finishGraceMs, idleTimeoutMs);
    return firstTokenAt === undefined ? firstTokenTimeoutMs : idleTimeoutMs;
  }

  function onVisible(): void {
    if (firstTokenAt === undefined) {
      firstTokenAt = Date.now();
      options.watch?.firstToken(firstTokenAt - startedAt);
      rearm(patienceMs());
    } else {
      if (!paused) progressTimer?.refresh();
      if (!gathers && Date.now() - firstTokenAt >= promptMs) gather(true);
    }
  }

  function gather(on: boolean): void {
    if (on === gathers) return;
    gathers = on;
    upstream?.gather(on);
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

  function onHead(head: Head): void {
    options.watch?.head(head.status, head.headers);
    if (call.stream && isSuccess(head)) sniffed = { head, sniffer: createSniffer(head.headers) };
    else readAs('whole', head);
  }

  function readAs(kind: AnswerKind, head: Head): void {
    sniffed = undefined;
    if (kind === 'stream') reader = format.readStream(call, watched);
    else bodyReader = createBodyReader({ format, call, head, maxResponseBytes, sink: watched });
  }

  function onData(bytes: Buffer): void {
    if (!sniffed) {
      read(bytes);
      return;
    }
    const known = sniffed.sniffer.push(bytes);
    if (!known) return;
    readAs(known.kind, sniffed.head);
    read(known.bytes);
  }

  function onEnd(): void {
    if (sniffed) {
      const { kind, bytes } = sniffed.sniffer.end();
      readAs(kind, sniffed.head);
      read(bytes);
    }
    finish(reader?.end() ?? bodyReader?.end() ?? noAnswer);
  }

  function read(bytes: Buffer): void {
    if (!reader) {
      const result = bodyReader?.push(bytes);
      if (result) finish(result);
      return;
    }
    const wasFinished = reader.finished;
    const result = reader.push(bytes);
    if (result) finish(result);
    else if (reader.finished && !wasFinished) {
      // What is left is the end, which does not wait.
      gather(false);
      rearm(patienceMs());
    }
  }

  signal.addEventListener('abort', onAbort, { once: true });
  function start(): void {
    const request = translate();
    if ('code' in request) {
      fail(request);
      return;
    }
    upstream = callUpstream(options.dispatcher, request, {
      onHead: guarded((status, headers) => onHead({ status, headers })),
      onData: guarded(onData),
      onEnd: guarded(onEnd),
      onFault: guarded((fault) => {
        if (reader?.finished) finish(reader.end());
        else fail(fault);
      }),
    });
    // It may have been over before it was known here.
    if (settled) upstream.abort();
  }

  function translate() {
    try {
      return format.request(call);
    } catch (error) {
      onError(error);
      return untranslatable;
    }
  }

  if (signal.aborted) onAbort();
  else guarded(start)();

  return {
    outcome,
    get firstTokenAt() {
      return firstTokenAt;
    },
    get heldBytes() {
      return bodyReader?.size ?? 0;
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
      rearm(patienceMs());
      upstream?.resume();
    },
  };
}
