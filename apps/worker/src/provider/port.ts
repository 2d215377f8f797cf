import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { Fault } from '@millrace/shared/domain/fault';
import type { UpstreamRequest } from '../upstream/call.ts';

/** What an attempt asks a provider for. */
export type ProviderCall = {
  /** The request body as the client sent it. */
  body: string;
  stream: boolean;
  model: string;
  /** With the path of the API's version, without a trailing slash. */
  baseUrl: string;
  apiKey: string | undefined;
  traceparent: string | undefined;
};

/** Where a streamed answer goes, chunk by chunk, as the client's endpoint has them. */
export type AnswerSink = {
  /** `visible`: a reader would see something of it. The text has no line break. */
  chunk(text: string, visible: boolean): void;
  /** The chunk that only has the usage. */
  usage(text: string): void;
};

/** What an answer was worth. */
export type Verdict =
  | { kind: 'completed'; finishReason: string | null; usage?: unknown }
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

/** One wire format: one file. */
export type Provider = {
  request(call: ProviderCall): UpstreamRequest;
  readStream(call: ProviderCall, sink: AnswerSink): StreamReader;
  /** A whole answer, not streamed. */
  readWhole(text: string): Verdict;
  /** The error of an error status, as the provider put it; undefined when it says nothing that fits. */
  readError(text: string): OpenAiError | undefined;
};
