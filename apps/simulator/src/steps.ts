import type { IncomingHttpHeaders } from 'node:http';
import type { ProviderApi } from '@millrace/shared/domain/provider-api';
import type { Options } from './keys.ts';
import type { ErrorName, ProviderError } from './errors.ts';

export interface Usage {
  readonly completion: number;
  readonly reasoning: number;
}

/** One part of an answer, before a wire format encodes it. */
export type AnswerEvent =
  | { type: 'start'; choice: number; say: Options['say']; extra?: Readonly<Record<string, string>> }
  | { type: 'text'; choice: number; text: string }
  | { type: 'reasoning'; choice: number; text: string }
  | { type: 'refusal'; choice: number; text: string }
  | { type: 'tool-call'; choice: number; call: number; name: string }
  | { type: 'tool-arguments'; choice: number; call: number; text: string }
  | { type: 'finish'; choice: number; reason: FinishReason; usage?: Usage }
  | { type: 'usage'; usage: Usage }
  | { type: 'done' };

export type FinishReason = 'stop' | 'length' | 'content_filter' | 'tool_calls';

/** One event of an event stream; its data has no line end in it. */
export interface Frame {
  readonly event?: string;
  readonly data: string;
  /** The data are bytes, in Latin-1, and no event. */
  readonly isRaw?: true;
}

export interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** How a provider puts an error into a stream that has begun. */
export type ErrorShape = 'bare' | 'named' | 'in-chunk';

/**
 * The steps of a behaviour, in order. The same script serves a non-streaming request: the answer events are
 * collected into one JSON answer, frames and keep-alives are omitted, a cut leaves half of the answer, and an
 * error in the stream becomes the response's status.
 */
export type Step =
  | { kind: 'wait'; ms: number }
  | { kind: 'head' }
  | { kind: 'say'; event: AnswerEvent }
  | { kind: 'partial'; event: AnswerEvent; bytes: number }
  /** The event with its JSON cut off, in a complete frame. */
  | { kind: 'damaged'; event: AnswerEvent }
  | { kind: 'frame'; frame: Frame }
  | { kind: 'keep-alive' }
  | { kind: 'error'; shape: ErrorShape; error: ProviderError }
  | { kind: 'reply'; reply: Reply }
  | { kind: 'cut'; how: Options['how'] }
  | { kind: 'silence' }
  | { kind: 'end' };

/** The content of a request, in any wire format. */
export interface Asked {
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly n: number;
  readonly maxTokens: number | undefined;
  readonly logprobs: boolean;
  /** The tools that may be called; empty when the request forbids it. */
  readonly tools: readonly Tool[];
  /** The conversation ends with a tool result. */
  readonly hasToolResult: boolean;
  /** The form of the answer. */
  readonly output: Output;
  /** The text of every message. */
  readonly text: string;
  readonly trailingAssistant: string | undefined;
  readonly promptTokens: number;
  readonly user: string;
}

export interface Tool {
  readonly name: string;
  /** JSON schema of its arguments. */
  readonly schema: unknown;
}

/** `json`: any object. */
export type Output = { kind: 'text' } | { kind: 'json' } | { kind: 'schema'; schema: unknown };

export interface Call {
  readonly asked: Asked;
  readonly options: Options;
  readonly rawBody: string;
  /** As parsed: JSON, or the fields of a form. */
  readonly body: unknown;
  readonly headers: IncomingHttpHeaders;
  readonly format: WireFormat;
  readonly requestId: string;
}

export type Script = (call: Call) => Iterable<Step>;

/** JSON texts of the members that differ between two equal answers. Placeholders make an answer reusable. */
export interface Identity {
  readonly id: string;
  readonly created: string;
}

export interface Encoder {
  /** The media type of a stream of raw frames; absent: of events. */
  readonly contentType?: string;
  /** The frames of one event; none if this format, or this request, does not show it. */
  frames(event: AnswerEvent): Frame[];
  error(shape: ErrorShape, error: ProviderError): Frame[];
  /** One JSON text with the whole answer. */
  whole(events: readonly AnswerEvent[]): string;
}

/** One provider API. To add another, write a folder with an object of this type, and list it in `formats.ts`. */
export interface WireFormat {
  readonly name: ProviderApi;
  serves(path: string): boolean;
  /** The model that a path of this format names; by default the body names it. */
  readonly modelIn?: (path: string) => string | undefined;
  /** The response header that carries the id of the request. */
  readonly requestIdHeader: string;
  /** Its answers depend on more than their options. */
  readonly isReusable?: false;
  /** The most choices that one answer can have. */
  readonly maxChoices: number;
  /** The error with which this provider usually ends a stream. */
  readonly streamError: ErrorName;
  /** The keep-alive of an idle stream; undefined is a comment. */
  readonly keepAlive: Frame | undefined;
  /** An event whose JSON breaks off after a member that shows that it has no part of the answer. */
  readonly malformed: Frame;
  /** An event whose JSON breaks off at the place of a part of the answer. */
  readonly unreadable: Frame;
  /** Whether these headers belong to a client of this format, whatever path it requests. */
  readonly hasSent?: (headers: IncomingHttpHeaders) => boolean;
  readonly keyHeader: (headers: IncomingHttpHeaders) => string | undefined;
  read(body: unknown, headers: IncomingHttpHeaders, path: string): Asked | ProviderError;
  newId(number: number): string;
  encoder(call: Call, identity: Identity): Encoder;
  error(name: ErrorName | 'usual', status?: number): ProviderError;
  errorBody(error: ProviderError, requestId: string): string;
  /** Headers for a rate limit that is exhausted until `seconds` from `now`, in ms since 1970. */
  rateLimitHeaders(seconds: number, now: number): Readonly<Record<string, string>>;
}

/** Whether a reader sees a part of the answer in this event. */
export function isVisible(event: AnswerEvent): boolean {
  return (
    event.type === 'text' ||
    event.type === 'reasoning' ||
    event.type === 'refusal' ||
    event.type === 'tool-call' ||
    event.type === 'tool-arguments'
  );
}
