import type { Capabilities } from '@millrace/shared/domain/capabilities';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Prefill } from '@millrace/shared/domain/request';
import type { ReadError } from './errors/read-error.ts';
import type { Limits } from './rate-limits.ts';

/**
 * A wire format, as a worker uses it with a provider. The inner form of requests and answers is OpenAI's chat
 * completion: a request body, chunks, usage, finish reasons. The log, the continuation of an answer and the
 * ledger use nothing else. Other formats translate; OpenAI's passes the bytes on.
 *
 * To add a format: a folder with an object of this type, its name in domain/provider-api.ts, and its line in
 * provider-formats.ts.
 */
export type ProviderFormat = {
  /** The request for the provider's list of models, the cheapest one there is. A GET. */
  modelsRequest(account: ProviderAccount): Omit<UpstreamRequest, 'body'>;
  /** The upstream request; a fault if the format cannot express the request. */
  request(call: ProviderCall): UpstreamRequest | Fault;
  /** `headers`: of the response. */
  readStream(call: ProviderCall, sink: AnswerSink, headers?: Headers): StreamReader;
  /** A successful response with these headers is read by `readStream` whatever its bytes are. Absent: its first bytes decide. */
  streamsBytes?(headers: Headers): boolean;
  /**
   * The text of a stream with a complete answer, where a provider answered a request for a stream with it. `body`: as read by `readWhole` or
   * `readBytes`. Absent: the answer has the inner form.
   */
  wholeAsStream?(body: string): string;
  /** A provider may say nothing for minutes before and between the parts of a stream: only the request's whole time ends its calls. */
  mayBeSilent?: true;
  /**
   * Reads a complete answer that was not streamed. `body`: the answer in the inner form, if it differs from
   * `text`. Readers of a `native` call get `text`.
   */
  readWhole(text: string, call: ProviderCall): Verdict & { body?: string };
  /**
   * Reads a complete answer that can be anything but JSON, in place of `readWhole`. `body`: the answer as JSON, with other bytes as a
   * data URL (pass-through/bytes.ts).
   */
  readBytes?(bytes: Buffer, contentType: string, call: ProviderCall): Verdict & { body?: string };
  /** The most values in a complete answer, of which `readWhole` parses as many. Absent: those of `answerBounds`. */
  maxValues?: number;
  /** Reads a response with an error status, and makes the error for the client. */
  readError(response: ErrorResponse, call: AnsweredCall): ReadError;
  /** Reads the provider's limits from the head of a response with any status. */
  readLimits(headers: Headers, now: number): Limits;
  /** Whether a model continues a trailing assistant message, if the config does not say. */
  prefillOf(target: { baseUrl: string; model: string }): Prefill;
  /** What is known of a model by its name. Absent: nothing. */
  capabilitiesOf?(model: string): Capabilities;
};

/** The address and the key of a provider. */
export type ProviderAccount = {
  /** With the path of the API's version, without a trailing slash. */
  baseUrl: string;
  apiKey: string | undefined;
};

/** An attempt's call of a provider. */
export type ProviderCall = ProviderAccount & {
  /** The request body, in the inner form. */
  body: string;
  /** Present if the client uses this format, too: the provider gets the client's own body, and the client the provider's own events. */
  native?: NativeCall | undefined;
  /** The body was translated from another format of the client, so it may be adapted to the target. */
  isTranslated?: boolean | undefined;
  stream: boolean;
  /** The target does not support `stream_options`, which request the usage. */
  omitsStreamOptions?: boolean;
  model: string;
  traceparent: string | undefined;
  tracestate?: string | undefined;
  /** The last message is the beginning of the answer, which the target continues. */
  prefill: boolean;
  /** The `id`, `created` and `model` that readers have seen: the stream keeps them. */
  identity: { id?: unknown; created?: unknown; model?: unknown } | undefined;
};

/** What a format needs of a request of its own clients. */
export type NativeCall = {
  /** The client's body, as it was sent; members that its URL or its headers had are members of it. */
  body: string;
  /** Messages in the inner form that follow the client's, because this attempt continues an answer. */
  turns: readonly { role: 'assistant' | 'user'; content: string }[];
};

/** The part of a call with which an error is read: the provider's quotations of the body are not its own text. */
export type AnsweredCall = Pick<ProviderCall, 'body'> &
  Partial<Pick<ProviderCall, 'stream' | 'omitsStreamOptions'>>;

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The request as it goes to the provider: a POST. */
export type UpstreamRequest = {
  path: string;
  headers: Record<string, string>;
  body: string;
  /** Sent in place of `body`. */
  bytes?: Buffer;
};

export type ErrorResponse = { status: number; headers: Headers; text: string };

/** Receives a streamed answer chunk by chunk, in the inner form. */
export type AnswerSink = {
  /** A chunk that only adds text to the first choice. */
  plain(text: string, content: string): void;
  /**
   * Any other chunk, with its JSON text. `visible`: a reader would see a part of it. It never has a usage, or
   * a finish_reason of a choice that had one. A chunk of a `native` call has the provider's event in its member
   * `nativeMember` (client-port.ts), where the chunk itself does not say all that the event says.
   */
  chunk(text: string, chunk: unknown, visible: boolean): void;
  /** The chunk with only the usage so far; of several, the last one counts. */
  usage(text: string): void;
};

/**
 * The verdict on an answer. `isCut`: every choice has its finish_reason, but what follows was cut off or
 * cannot be read, so the usage may be missing.
 */
export type Verdict =
  | { kind: 'completed'; finishReason: string | null; usage?: unknown; isCut?: true }
  | { kind: 'fault'; fault: Fault };

/** Reads one streamed answer. */
export type StreamReader = {
  /** Takes the next bytes. A verdict means that the answer has ended, whatever follows. */
  push(bytes: Uint8Array): Verdict | undefined;
  /** Every choice has its finish_reason: only trailing events can follow. */
  readonly finished: boolean;
  /** The body ended, in order or not. */
  end(): Verdict;
};
