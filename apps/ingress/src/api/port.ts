import type { IncomingHttpHeaders } from 'node:http';
import type { Line, OpenAiError, Result } from '@millrace/shared/domain/entry';
import type { Endpoint } from '@millrace/shared/domain/request';
import type { Refused } from '../errors.ts';

/**
 * One client API: how its requests are read and its answers are written. It does not know the life of a
 * request (exchange/) or connections (delivery/). A new API is a folder beside chat-completions/ and a line
 * in client-apis.ts; jobs and WebSockets name it by its path.
 */
export type ClientApi = {
  /** The path of its POST route, and the name of the endpoint in jobs and frames. */
  readonly path: Endpoint;
  /**
   * Reads the fields of a body that this server needs; all others are the provider's business. `headers`: of
   * HTTP only.
   */
  parse(body: Record<string, unknown>, headers?: IncomingHttpHeaders): ParsedBody | Refused;
  /** Headers of every answer, in addition to those of all APIs. */
  head(id: string): Record<string, string>;
  /** Begins a streamed answer. */
  encodeStream(options: StreamOptions): StreamEncoder;
  encodeWhole(result: Result): Result;
  /** The body of an answer that is an error, as a value for JSON. */
  errorBody(error: OpenAiError): unknown;
};

export type ParsedBody = {
  kind: 'parsed';
  model: string;
  stream: boolean;
  /** The client reads the usage of a stream. */
  includeUsage: boolean;
};

export type StreamOptions = {
  includeUsage: boolean;
  /** The client asked for the entry id of each event. */
  withIds: boolean;
};

/** Each method returns text for the stream. */
export type StreamEncoder = {
  /**
   * A line of kind `chunk` or `usage`; empty if the client does not get it. Called for every chunk, so it
   * must be cheap.
   */
  chunk(line: Line): string;
  /** The end of a complete answer. */
  end(): string;
  /** The end of a stream that was cut short. */
  error(error: OpenAiError): string;
};
