import type { Result } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import { redactBody, redactSink } from './answer-redaction.ts';
import { afterSilence, allowedSilenceMs, faultOfAttempt } from './attempt-rules.ts';
import type { AttemptTimeouts } from './attempt-rules.ts';
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

export type { AttemptTimeouts } from './attempt-rules.ts';

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
   * A target accepted the request before: a rejection, of the request or of a continuation, only means that
   * this target cannot be asked this way.
   */
  wasAccepted: boolean;
  sink: AnswerSink;
  /** Further texts than the key that must not appear in an answer (`additions.ts`). */
  secrets?: readonly string[] | undefined;
  /** The model as the client named it, if the client chose the provider's model with it. */
  namedModel?: string | undefined;
  /** Events of the call. */
  watch?: Pick<CallWatch, 'head' | 'firstToken'>;
  signal: AbortSignal;
  /**
   * Called when the first token is late; the attempt then keeps waiting, up to the time limit. Without this
   * callback the attempt fails.
   */
  onSlow?: (() => void) | undefined;
  /** This process was blocked: a silence that it measured says nothing about the provider. */
  wasLate?: (() => boolean) | undefined;
  /** Reports a bug in this program; the attempt fails. */
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
  /** Another attempt committed first. */
  | { kind: 'superseded' };

export type Attempt = {
  outcome: Promise<AttemptOutcome>;
  /** When the first visible chunk came, in milliseconds since the epoch. */
  readonly firstTokenAt: number | undefined;
  /** Bytes of a response that is not streamed and is collected as a whole. */
  readonly heldBytes: number;
  /** Ends the attempt at once for a reason that did not come from upstream. */
  stop(reason: Fault | 'superseded'): void;
  /** Stops reading from the provider, and its idle clock. */
  pause(): void;
  resume(): void;
};

/** Milliseconds after the first token in which every chunk is read as it arrives. */
const promptMs = 250;

/** Makes one upstream call and determines its outcome. Never throws and never rejects. */
export const startAttempt = (options: AttemptOptions): Attempt => new UpstreamAttempt(options);

/** How the response is read: undecided until its first bytes, then as a stream or as a whole. */
type Reading =
  | { kind: 'no_head' }
  | { kind: 'sniffing'; head: Head; sniffer: AnswerSniffer }
  | { kind: 'stream'; reader: StreamReader }
  | { kind: 'whole'; reader: BodyReader };

class UpstreamAttempt implements Attempt {
  readonly outcome: Promise<AttemptOutcome>;
  firstTokenAt: number | undefined;
  private readonly options: AttemptOptions;
  private readonly secrets: readonly string[];
  private readonly startedAt = Date.now();
  private readonly watched: AnswerSink;
  private readonly onAbort: () => void;
  private readonly limitTimer: NodeJS.Timeout;
  private progressTimer: NodeJS.Timeout | undefined;
  private settle: (outcome: AttemptOutcome) => void = () => {};
  private settled = false;
  private paused = false;
  private gathers = false;
  private upstream: UpstreamCall | undefined;
  private reading: Reading = { kind: 'no_head' };

  constructor(options: AttemptOptions) {
    this.options = options;
    const { call, limit, signal } = options;
    this.outcome = new Promise((resolve) => (this.settle = resolve));
    const { apiKey } = call;
    this.secrets = [...(apiKey === undefined ? [] : [apiKey]), ...(options.secrets ?? [])];
    this.watched = this.watch(this.secrets.reduce(redactSink, options.sink));
    this.onAbort = () => this.finish({ kind: 'aborted' });
    const leftMs = Math.max(0, limit.at - Date.now());
    this.limitTimer = setTimeout(() => this.fail(limit.fault), leftMs);
    this.rearm(this.allowedSilenceMs());
    signal.addEventListener('abort', this.onAbort, { once: true });
    if (signal.aborted) this.onAbort();
    else this.guard(() => this.start());
  }

  get heldBytes(): number {
    return this.reading.kind === 'whole' ? this.reading.reader.size : 0;
  }

  stop(reason: Fault | 'superseded'): void {
    this.finish(reason === 'superseded' ? { kind: reason } : { kind: 'fault', fault: reason });
  }

  pause(): void {
    this.paused = true;
    clearTimeout(this.progressTimer);
    this.upstream?.pause();
  }

  resume(): void {
    this.paused = false;
    this.rearm(this.allowedSilenceMs());
    this.upstream?.resume();
  }

  /** Callbacks of timers and sockets have no caller that could catch an exception. */
  private guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.options.onError(error);
      this.fail(ourFault);
    }
  }

  private start(): void {
    const request = this.translate();
    if ('code' in request) {
      this.fail(request);
      return;
    }
    this.upstream = callUpstream(this.options.dispatcher, request, {
      onHead: (status, headers) => this.guard(() => this.onHead({ status, headers })),
      onData: (bytes) => this.guard(() => this.onData(bytes)),
      onEnd: () => this.guard(() => this.onEnd()),
      onFault: (fault) => this.guard(() => this.onFault(fault)),
    });
    // The call may have ended before it returned.
    if (this.settled) this.upstream.abort();
  }

  private translate() {
    try {
      return this.options.format.request(this.options.call);
    } catch (error) {
      this.options.onError(error);
      return untranslatable;
    }
  }

  private finish(result: AttemptOutcome): void {
    if (this.settled) return;
    this.settled = true;
    clearTimeout(this.limitTimer);
    clearTimeout(this.progressTimer);
    this.options.signal.removeEventListener('abort', this.onAbort);
    this.gather(false);
    if (result.kind === 'completed') this.upstream?.release();
    else this.upstream?.abort();
    this.settle(this.redacted(result));
  }

  private fail(fault: Fault): void {
    this.finish({ kind: 'fault', fault });
  }

  /** The outcome without secrets of the operator. */
  private redacted(outcome: AttemptOutcome): AttemptOutcome {
    const { wasAccepted, namedModel } = this.options;
    if (outcome.kind === 'fault') {
      const hasBegun = this.firstTokenAt !== undefined;
      const fault = faultOfAttempt(outcome.fault, { hasBegun, wasAccepted, namedModel });
      return { ...outcome, fault: redactFault(fault, ...this.secrets) };
    }
    if (outcome.kind !== 'completed' || !outcome.result) return outcome;
    const { result } = outcome;
    const clean = (text: string): string => this.secrets.reduce(redactBody, text);
    const native = result.native === undefined ? {} : { native: clean(result.native) };
    return { ...outcome, result: { ...result, body: clean(result.body), ...native } };
  }

  private get isFinished(): boolean {
    return this.reading.kind === 'stream' && this.reading.reader.finished;
  }

  private allowedSilenceMs(): number {
    const { firstTokenAt, isFinished } = this;
    if (this.options.format.mayBeSilent && !isFinished) return Infinity;
    return allowedSilenceMs(this.options.timeouts, {
      hasBegun: firstTokenAt !== undefined,
      isFinished,
    });
  }

  private silenceTimer(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.guard(() => this.onSilence()), ms);
  }

  private rearm(ms: number): void {
    clearTimeout(this.progressTimer);
    if (!this.settled && !this.paused && this.options.call.stream && ms < Infinity) {
      this.progressTimer = this.silenceTimer(ms);
    }
  }

  private onSilence(): void {
    const { wasLate, onSlow } = this.options;
    const next = afterSilence({
      wasLate: wasLate?.() === true,
      isFinished: this.isFinished,
      hasBegun: this.firstTokenAt !== undefined,
      mayWait: onSlow !== undefined,
    });
    if (next === 'wait') this.rearm(this.allowedSilenceMs());
    else if (next === 'end') this.onEnd();
    else if (next === 'slow') onSlow?.();
    else this.fail(next);
  }

  /** Wraps the sink to notice visible chunks. */
  private watch(sink: AnswerSink): AnswerSink {
    return {
      plain: (text, content) => {
        this.onVisible();
        sink.plain(text, content);
      },
      chunk: (text, chunk, visible) => {
        if (visible) this.onVisible();
        sink.chunk(text, chunk, visible);
      },
      usage: (text) => sink.usage(text),
    };
  }

  private onVisible(): void {
    if (this.firstTokenAt === undefined) {
      this.firstTokenAt = Date.now();
      this.options.watch?.firstToken(this.firstTokenAt - this.startedAt);
      this.rearm(this.allowedSilenceMs());
      return;
    }
    if (!this.paused) this.progressTimer?.refresh();
    if (!this.gathers && Date.now() - this.firstTokenAt >= promptMs) this.gather(true);
  }

  private gather(on: boolean): void {
    if (on === this.gathers) return;
    this.gathers = on;
    this.upstream?.gather(on);
  }

  private onHead(head: Head): void {
    this.options.watch?.head(head.status, head.headers);
    const { call, format } = this.options;
    if (call.stream && isSuccess(head) && format.streamsBytes?.(head.headers)) {
      this.readAs('stream', head);
    } else if (call.stream && isSuccess(head)) {
      this.reading = { kind: 'sniffing', head, sniffer: createSniffer(head.headers) };
    } else this.readAs('whole', head);
  }

  private readAs(kind: AnswerKind, head: Head): void {
    const { format, call, maxResponseBytes } = this.options;
    const sink = this.watched;
    this.reading =
      kind === 'stream'
        ? { kind, reader: format.readStream(call, sink, head.headers) }
        : { kind, reader: createBodyReader({ format, call, head, maxResponseBytes, sink }) };
  }

  private onData(bytes: Buffer): void {
    if (this.reading.kind !== 'sniffing') {
      this.read(bytes);
      return;
    }
    const known = this.reading.sniffer.push(bytes);
    if (!known) return;
    this.readAs(known.kind, this.reading.head);
    this.read(known.bytes);
  }

  private read(bytes: Buffer): void {
    const { reading } = this;
    if (reading.kind === 'whole') {
      const result = reading.reader.push(bytes);
      if (result) this.finish(result);
    } else if (reading.kind === 'stream') {
      const wasFinished = reading.reader.finished;
      const result = reading.reader.push(bytes);
      if (result) this.finish(result);
      else if (reading.reader.finished && !wasFinished) {
        // Only the end is missing, and it is not delayed.
        this.gather(false);
        this.rearm(this.allowedSilenceMs());
      }
    }
  }

  private onEnd(): void {
    if (this.reading.kind === 'sniffing') {
      const { kind, bytes } = this.reading.sniffer.end();
      this.readAs(kind, this.reading.head);
      this.read(bytes);
    }
    const { reading } = this;
    const isRead = reading.kind === 'stream' || reading.kind === 'whole';
    this.finish(isRead ? reading.reader.end() : noAnswer);
  }

  private onFault(fault: Fault): void {
    if (this.isFinished) this.onEnd();
    else this.fail(fault);
  }
}
