import type { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { AnswerFacts } from '@millrace/formats/client-port';
import type { Line, OpenAiError, Result } from '@millrace/shared/domain/entry';
import type { Endpoint } from '@millrace/shared/domain/request';
import type { FastifyRequest } from 'fastify';
import type { Principal } from '../auth/api-keys.ts';
import type { Refused } from '../errors.ts';
import type { Services } from '../services.ts';
import type { ApiDescription } from './openapi/client-api.ts';

/**
 * One client API: how its requests are read and its answers are written. It does not know the life of a
 * request (exchange/) or connections (delivery/). A new API is a folder beside chat-completions/ and a line
 * in client-apis.ts; jobs and WebSockets name it by its path.
 */
export type ClientApi = {
  /** The name of the endpoint in jobs and frames, and the path of its POST route unless it has `urls`. */
  readonly path: Endpoint;
  /** The URLs of its POST routes, in fastify's form. */
  readonly urls?: readonly ApiUrl[];
  readonly description: ApiDescription;
  /** Whether a request for another path comes from a client of this API, who gets errors in its form. */
  isCalledBy?(path: string, headers: IncomingHttpHeaders): boolean;
  /**
   * Reads the fields of a body that this server needs; all others are the provider's business. `headers`: of
   * HTTP only.
   */
  parse(body: Record<string, unknown>, headers?: IncomingHttpHeaders): ParsedBody | Refused;
  /** Before `parse`: what a body refers to, in place of the reference. Undefined: it refers to nothing. Rejects with an ApiError. */
  resolve?(body: Record<string, unknown>, context: ResolveContext): Promise<Resolved | undefined>;
  /** Headers of every answer, in addition to those of all APIs. */
  head(id: string): Record<string, string>;
  /** Begins a streamed answer. */
  encodeStream(options: StreamOptions): StreamEncoder;
  encodeWhole(result: Result, answer: AnswerFacts): Result;
  /** The answer over HTTP, where it is no JSON. `body`: as `encodeWhole` returns it. Undefined or absent: it is that body. */
  bytesOf?(body: string): { contentType: string; bytes: Buffer } | undefined;
  /** Whether the stream of an answer over HTTP is bytes (bytes-answer.ts) and not events. Absent: it is events. */
  streamsBytes?(answer: AnswerFacts): boolean;
  /** The result of a streamed answer, from the texts of its chunks, as a JSON text. Absent: they have the inner form. */
  assemble?(chunks: readonly string[], answer: AnswerFacts): string | undefined;
  /** A request over HTTP may be a form (multipart/form-data), too. */
  readonly takesForms?: true;
  /** The answer to a request that runs on in the background, as a value for JSON. */
  encodeQueued?(answer: AnswerFacts): unknown;
  /** The body of an answer that is an error, as a value for JSON. `status`: of the HTTP response. */
  errorBody(error: OpenAiError, status: number): unknown;
  /**
   * Makes the `chunk` events of jobs and WebSockets from the lines of a log. Absent: each chunk of the log is one. Its
   * events depend on all lines before, so it reads the log from its start.
   */
  readonly encodeEvents?: (answer: AnswerFacts) => EventEncoder;
};

/** A URL by which clients call an API. */
export type ApiUrl = {
  url: string;
  /** The API of a call, where it is another one, whose errors and headers are the same. */
  apiOf?(params: Readonly<Record<string, string | undefined>>): ClientApi | undefined;
  /**
   * Members of the request that the URL has, with JSON texts as values: they become members of the body. Throws an
   * ApiError for a URL that is none of the API.
   */
  members?(
    params: Readonly<Record<string, string | undefined>>,
    query: Readonly<Record<string, unknown>>,
  ): Record<string, string>;
  /** The answer to a call by this URL that makes no request; undefined for any other call. Throws an ApiError. */
  answer?(request: FastifyRequest, services: Pick<Services, 'config'>): object | undefined;
};

/** The response or the socket of a client. */
export type ResolvingClient = Pick<ServerResponse, 'destroyed'> &
  Pick<EventEmitter, 'once' | 'off'>;

export type ResolveContext = {
  /** The text of the body. */
  text: string;
  principal: Principal;
  /** Its close ends the work. */
  client: ResolvingClient;
  services: Services;
  /** A response that only the client's connection knows. */
  remembered?(id: string): { input: string; isWarmUp: boolean } | undefined;
};

export type Resolved = {
  /** Gives back the memory that its members take, when the body is not needed any more. */
  release(): void;
  /** Members that the body gets, with JSON texts as values. */
  members: Record<string, string>;
  /** Members that the answer repeats as the client sent them. */
  echo: Record<string, unknown>;
};

export type ParsedBody = {
  kind: 'parsed';
  model: string;
  stream: boolean;
  /** The client reads the usage of a stream. */
  includeUsage: boolean;
  /** The request in the inner form, which the estimates of tokens and costs read. Absent: the body itself. */
  inner?: string | undefined;
  /** Members that the body gets, with JSON texts as values: what the provider needs of the headers. */
  members?: Record<string, string> | undefined;
  /** What the answer repeats of the request. */
  echo?: unknown;
  /** The request runs on without its client, who gets an answer at once if it does not read a stream. */
  background?: boolean;
  /** Its body is kept as long as its answer can be read. */
  keepsBody?: true | undefined;
};

export type StreamOptions = {
  includeUsage: boolean;
  /** The client asked for the entry id of each event. */
  withIds: boolean;
  answer: AnswerFacts;
};

/** Each method returns text for the stream. */
export type StreamEncoder = {
  /**
   * A line of kind `chunk` or `usage`; empty if the client does not get it. Called for every chunk, so it
   * must be cheap.
   */
  chunk(line: Line): string;
  /** The end of an answer that was complete at this time (milliseconds since the epoch). */
  end(completedAt: number): string;
  /** The end of a stream that was cut short. */
  error(error: OpenAiError, status: number): string;
  /** Shows a silent client that the answer goes on; empty or absent: a comment does. */
  keepAlive?(): string;
};

/** Each method returns events of the API's own format, as JSON texts. */
export type EventEncoder = {
  /** A line of kind `chunk` or `usage`. */
  chunk(line: Line): readonly string[];
  /** The end of an answer that was complete at this time (milliseconds since the epoch). */
  end(completedAt: number): readonly string[];
};
