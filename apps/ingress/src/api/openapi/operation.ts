import type { ErrorCode } from '../../errors.ts';

/* What a route says about itself in the OpenAPI document. */

/** A JSON Schema, draft 2020-12, which OpenAPI 3.1 uses. */
export type Schema = Readonly<Record<string, unknown>>;

/** A reference to a schema of the document by its name. */
export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

export type Parameter = {
  name: string;
  in: 'header' | 'query' | 'path';
  description: string;
  schema: Schema;
};

export type Answer = {
  description: string;
  /** Schemas by content type. Absent: the answer has no body. */
  content?: Readonly<Record<string, Schema>>;
  /** Names of headers of the document (answer-headers.ts). */
  headers?: readonly string[];
};

export type Operation = {
  tag: Tag;
  summary: string;
  description?: string;
  /** The vendor's reference, for the members that this server passes on. */
  reference?: string;
  /** Those of the path are described here, too. */
  parameters?: readonly Parameter[];
  /** `form`: the schema of a body as multipart/form-data, if it may be one. */
  body?: { schema: Schema; form?: Schema; isOptional?: boolean; example?: unknown };
  answers: Readonly<Record<string, Answer>>;
  errors: readonly ErrorCode[];
  /** Absent: OpenAI's. */
  errorSchema?: Schema;
  /** Errors of providers pass to the client with their own status. */
  passesErrors?: boolean;
  /** `key`: an API key; `key or read token`: also a token of this stream, in the URL; `none`: public. */
  access: 'key' | 'key or read token' | 'none';
};

export const tags = {
  'Client APIs':
    'The APIs of vendors, for their SDKs. Members that Millrace does not read pass to the provider untouched.',
  Jobs: 'Requests that run without a connection, and the streams of all requests.',
  WebSocket: 'Many requests on one connection.',
  Models: 'What a key may ask for.',
  Fleet: 'Health and metrics of this server, and this description of it.',
} as const;

export type Tag = keyof typeof tags;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Of a route that the OpenAPI document describes. */
    operation?: Operation;
  }
}
