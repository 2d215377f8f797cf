import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { JsonObject } from '@millrace/shared/domain/json';

/*
 * A wire format, as clients use it; port.ts is its counterpart towards providers. Redis has a request as its client sent
 * it, and its log in the inner form (OpenAI's chat completion, see port.ts), so that every request can be continued by
 * every provider, whichever of the formats they use:
 *
 *   client's body ──▶ toInner ──▶ provider's format          different formats: by way of the inner form
 *   client's body ──────────────▶ the same format            `NativeCall`: the bytes, edited in place
 *
 *   provider's events ──▶ chunks of the log ──▶ AnswerEncoder ──▶ client's events
 *   provider's events ──▶ chunks with `nativeMember` ──▶ the same events
 *
 * A chunk has the provider's event (`nativeMember`) only where client and provider use the same format and the chunk does not
 * say everything. An attempt that continues an answer of another attempt has none.
 *
 * To add a format: a folder with an object of this type, its path in `endpoints` (domain/request.ts), its line in
 * client-formats.ts, and its client API in the ingress (api/client-apis.ts).
 */
export type ClientFormat = {
  /**
   * The request in the inner form. `body`: the parsed request.
   * @throws {InvalidRequest} if the request is not valid in its own format.
   */
  toInner(body: JsonObject): InnerRequest;
  /** Begins a streamed answer. The same lines make the same events again, so that a reader can resume. */
  encodeStream(answer: AnswerFacts): AnswerEncoder;
  /** A complete answer. `completion`: the inner form, as JSON text. */
  encodeWhole(completion: string, answer: AnswerFacts): string;
  /** The body of an answer that is an error, as a value for JSON. `status`: of the HTTP response. */
  errorBody(error: OpenAiError, status: number): unknown;
};

export type InnerRequest = {
  /** As JSON text. */
  body: string;
  /** What only a provider of the client's own format can serve; the first one found. Absent: nothing. */
  inexpressible?: { param: string; message: string } | undefined;
};

export type AnswerFacts = {
  /** The id of the request. */
  id: string;
  /** The model that the client asked for. */
  model: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
  /** The request's `echo`. */
  echo: unknown;
  /** Of a complete answer: when it was complete, in milliseconds since the epoch. */
  completedAt?: number | undefined;
};

/** A server-sent event; `data` is JSON text. */
export type FormatEvent = { name?: string | undefined; data: string };

/** Makes the client's events of an answer from the lines of its log. It never throws. */
export type AnswerEncoder = {
  /** The text of a chunk. Called for every chunk, so it must be cheap. */
  chunk(text: string): readonly FormatEvent[];
  /** The text of the chunk with only the usage. */
  usage(text: string): readonly FormatEvent[];
  /** The end of an answer that was complete at this time (milliseconds since the epoch). */
  end(completedAt?: number): readonly FormatEvent[];
  /** The end of a stream that was cut short. */
  error(error: OpenAiError, status: number): readonly FormatEvent[];
  /** Shows a silent client that the answer goes on; undefined: a comment does. */
  keepAlive?(): FormatEvent | undefined;
};

/** A request that is not valid in its format. `param`: the path of the member. */
export class InvalidRequest extends Error {
  override readonly name = 'InvalidRequest';
  readonly param: string;

  constructor(param: string, message: string) {
    super(message);
    this.param = param;
  }
}

/** The member of a chunk with the provider's event; no provider has a member of this name. */
export const nativeMember = 'x_millrace_event';
