import type { Fault } from '@millrace/shared/domain/fault';
import type { Prefill } from '@millrace/shared/domain/request';
import type { ReadError } from './errors/read-error.ts';
import type { Limits } from './rate-limits.ts';

/**
 * A wire format, as a worker speaks it to a provider. The inner form of requests and answers is OpenAI's chat
 * completion: a request body, chunks, usage, finish reasons. The log, the continuation of an answer and the ledger
 * know nothing else. A format that differs from it translates, and OpenAI's passes the bytes on.
 *
 * Another format is a folder with an object of this type, its name in domain/provider-api.ts, and its line in
 * provider-formats.ts.
 */
export type ProviderFormat = {
  /** Which models the provider has: the lightest question that it answers. A GET. */
  modelsRequest(account: ProviderAccount): Omit<UpstreamRequest, 'body'>;
  /** A fault when the format cannot express the request. */
  request(call: ProviderCall): UpstreamRequest | Fault;
  readStream(call: ProviderCall, sink: AnswerSink): StreamReader;
  /** A whole answer, not streamed. `body`: in the inner form, where that is not what came. */
  readWhole(text: string, call: ProviderCall): Verdict & { body?: string };
  /** What a response with an error status means, and the error for the client. */
  readError(response: ErrorResponse, call: AnsweredCall): ReadError;
  /** What the head of a response, whatever its status, says of the provider's limits. */
  readLimits(headers: Headers, now: number): Limits;
  /** Whether a model continues a trailing assistant message, where the config does not say so. */
  prefillOf(target: { baseUrl: string; model: string }): Prefill;
};

/** Where a provider is, and with which key it is asked. */
export type ProviderAccount = {
  /** With the path of the API's version, without a trailing slash. */
  baseUrl: string;
  apiKey: string | undefined;
};

/** What an attempt asks a provider for. */
export type ProviderCall = ProviderAccount & {
  /** The request body, in the inner form. */
  body: string;
  stream: boolean;
  /** The target takes no `stream_options`, by which usage is asked for. */
  omitsStreamOptions?: boolean;
  model: string;
  traceparent: string | undefined;
  /** The last message is the beginning of the answer, for the target to go on with. */
  prefill: boolean;
  /** The `id`, `created` and `model` that readers have seen: the stream keeps them. */
  identity: { id?: unknown; created?: unknown; model?: unknown } | undefined;
};

/** What of a call an error is read with: what a provider quotes of the body are no words of its own. */
export type AnsweredCall = Pick<ProviderCall, 'body'> &
  Partial<Pick<ProviderCall, 'stream' | 'omitsStreamOptions'>>;

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The request as it goes to the provider: a POST. */
export type UpstreamRequest = {
  path: string;
  headers: Record<string, string>;
  body: string;
};

export type ErrorResponse = { status: number; headers: Headers; text: string };

/** Where a streamed answer goes, chunk by chunk, in the inner form. */
export type AnswerSink = {
  /** A chunk that adds nothing but a text to the first choice. */
  plain(text: string, content: string): void;
  /**
   * Any other chunk, with its JSON text. `visible`: a reader would see something of it. None has a usage,
   * and none a finish_reason of a choice that had one.
   */
  chunk(text: string, chunk: unknown, visible: boolean): void;
  /** The chunk that only has the usage, as far as it is known: of several, the last one counts. */
  usage(text: string): void;
};

/**
 * What an answer was worth. `isCut`: every choice has its finish_reason, but what follows that was broken
 * off or cannot be read, and the usage may be lost with it.
 */
export type Verdict =
  | { kind: 'completed'; finishReason: string | null; usage?: unknown; isCut?: true }
  | { kind: 'fault'; fault: Fault };

/** Reads one streamed answer. */
export type StreamReader = {
  /** Takes the next bytes. A verdict means that the answer is over, whatever else may come. */
  push(bytes: Uint8Array): Verdict | undefined;
  /** Every choice has its finish_reason: only trailing events can follow. */
  readonly finished: boolean;
  /** The body ended, in order or not. */
  end(): Verdict;
};
