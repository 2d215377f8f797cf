import { errorTable } from '../../errors.ts';
import type { ErrorCode } from '../../errors.ts';
import { answerHeaders } from '../../server/answer-headers.ts';
import { clientApis } from '../client-apis.ts';
import { healthSchemas } from '../health.ts';
import { jobSchemas } from '../jobs/schema.ts';
import { modelSchemas } from '../models/forms.ts';
import { socketSchemas } from '../websocket/schema.ts';
import { schemasOf } from './client-api.ts';
import { otherStatuses } from './error-groups.ts';
import { ref, tags } from './operation.ts';
import type { Answer, Operation, Schema } from './operation.ts';

/** A route that the document describes. `url`: in fastify's form. */
export type DescribedRoute = { method: string; url: string; operation: Operation };

export type Document = {
  readonly openapi: string;
  readonly info: { title: string; version: string; description: string; [name: string]: unknown };
  readonly tags: readonly { name: string; description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly headers: Readonly<Record<string, unknown>>;
    readonly securitySchemes: Readonly<Record<string, { description: string; name?: string }>>;
  };
  readonly [name: string]: unknown;
};

export type DocumentedOperation = {
  operationId: string;
  tags: readonly string[];
  summary: string;
  description?: string;
  externalDocs?: { url: string; description: string };
  parameters?: readonly Record<string, unknown>[];
  requestBody?: {
    required: boolean;
    content: Record<string, { schema: Schema; example?: unknown }>;
  };
  responses: Record<string, DocumentedResponse>;
  security: readonly Record<string, readonly string[]>[];
};

export type DocumentedResponse = {
  description: string;
  headers?: Record<string, unknown>;
  content?: Record<string, { schema: Schema }>;
};

const intro = `Millrace serves the APIs of vendors, and jobs and a WebSocket of its own: a stream that has started reaches its end.

Times in answers are seconds since the epoch. Every answer has an \`x-request-id\`. A path that answers GET also answers HEAD. The admin API for operators, below \`/admin\`, is not part of this document.`;

const security = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description:
      'An API key. Where no keys are configured, programs of the same machine need none.',
  },
  apiKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-api-key',
    description: "The same key; Google's clients send it as `x-goog-api-key`.",
  },
  readToken: {
    type: 'apiKey',
    in: 'query',
    name: 'token',
    description: 'A token of `POST /v1/jobs/{id}/token`, for this one stream.',
  },
} as const;

const accesses: Record<Operation['access'], readonly (keyof typeof security)[]> = {
  none: [],
  key: ['bearer', 'apiKey'],
  'key or read token': ['bearer', 'apiKey', 'readToken'],
};

/** The OpenAPI document of these routes. It is the same for every client and has nothing of the config. */
export function buildDocument(routes: readonly DescribedRoute[], version: string): Document {
  const paths: Record<string, Record<string, DocumentedOperation>> = {};
  for (const { method, url, operation } of routes) {
    const path = templateOf(url, operation);
    const methods = (paths[path] ??= {});
    methods[method.toLowerCase()] = documented(operation, method, path);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version,
      summary: 'A streaming proxy for LLM APIs',
      description: intro,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'The server that serves this document' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: { schemas: schemas(), headers: headers(), securitySchemes: security },
    'x-errors': Object.entries(errorTable).map(([code, row]) => ({
      code: 'unnamed' in row ? null : code,
      status: row.status,
      type: row.type,
      retryable: row.retryable,
    })),
  };
}

/** `/v1/models/*` as `/v1/models/{model}`. A trailing wildcard is the last parameter of the operation's path. */
function templateOf(url: string, { parameters = [] }: Operation): string {
  const last = parameters.findLast((one) => one.in === 'path')?.name ?? 'path';
  return url
    .replaceAll('::', '\0')
    .replaceAll(/:(\w+)(?:\([^)]*\))?/g, '{$1}')
    .replaceAll('\0', ':')
    .replace(/\*$/, `{${last}}`);
}

function documented(operation: Operation, method: string, path: string): DocumentedOperation {
  const { tag, summary, description, reference, parameters = [], body, access } = operation;
  return {
    operationId: idOf(method, path),
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(reference !== undefined && {
      externalDocs: { url: reference, description: "The vendor's reference" },
    }),
    security: accesses[access].map((name) => ({ [name]: [] })),
    ...(parameters.length > 0 && {
      parameters: parameters
        .filter((one) => one.in !== 'path' || path.includes(`{${one.name}}`))
        .map((one) => (one.in === 'path' ? { ...one, required: true } : one)),
    }),
    ...(body && {
      requestBody: {
        required: body.isOptional !== true,
        content: {
          'application/json': {
            schema: body.schema,
            ...(body.example !== undefined && { example: body.example }),
          },
          ...(body.form && { 'multipart/form-data': { schema: body.form } }),
        },
      },
    }),
    responses: responsesOf(operation),
  };
}

/** `get_v1_jobs_id_events`. */
const idOf = (method: string, path: string): string =>
  `${method.toLowerCase()}${path.replaceAll(/[^A-Za-z0-9]+/g, '_').replace(/_$/, '')}`;

function responsesOf(operation: Operation): Record<string, DocumentedResponse> {
  const { answers, errors, errorSchema = ref('Error'), passesErrors = false } = operation;
  const responses: Record<string, DocumentedResponse> = {};
  for (const [status, answer] of Object.entries(answers)) responses[status] = responseOf(answer);
  const codes = new Map<number, ErrorCode[]>();
  for (const code of new Set(errors)) {
    for (const status of [errorTable[code].status, ...(otherStatuses[code] ?? [])]) {
      codes.set(status, [...(codes.get(status) ?? []), code]);
    }
  }
  for (const [status, some] of [...codes].sort(([one], [other]) => one - other)) {
    responses[status] ??= responseOf({
      description: describeCodes(some),
      content: { 'application/json': errorSchema },
      headers: some.some((code) => errorTable[code].retryable)
        ? ['retry-after', 'retry-after-ms']
        : [],
    });
  }
  if (passesErrors) {
    responses['default'] = responseOf({
      description: 'An error of the provider, with its status and its code.',
      content: { 'application/json': errorSchema },
      headers: ['retry-after', 'x-millrace-served-by', 'x-millrace-attempts'],
    });
  }
  return responses;
}

function describeCodes(codes: readonly ErrorCode[]): string {
  const named = codes.filter((code) => !('unnamed' in errorTable[code])).map((one) => `\`${one}\``);
  const all = named.length < codes.length ? [...named, 'or without a code'] : named;
  return `${all.join(', ')}.`.replace(/^or w/, 'W').replace(', or without', ' or without');
}

const responseOf = ({ description, content, headers: names = [] }: Answer): DocumentedResponse => ({
  description,
  headers: Object.fromEntries(
    ['x-request-id', ...names].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  ),
  ...(content && {
    content: Object.fromEntries(
      Object.entries(content).map(([type, schema]) => [type, { schema }]),
    ),
  }),
});

const headers = () =>
  Object.fromEntries(
    Object.entries({ ...answerHeaders, location: 'The path of the job' }).map(
      ([name, description]) => [name, { description, schema: { type: 'string' } }],
    ),
  );

function schemas(): Record<string, Schema> {
  const codes = Object.entries(errorTable).filter(([, row]) => !('unnamed' in row));
  return {
    Endpoint: { enum: clientApis.map(({ path }) => path) },
    ClientApiRequest: {
      description: 'The request of a client API.',
      anyOf: clientApis.map(({ description }) => ref(`${description.name}Request`)),
    },
    ...Object.assign({}, ...clientApis.map(({ description }) => schemasOf(description))),
    ...jobSchemas,
    ...socketSchemas,
    ...modelSchemas,
    ...healthSchemas,
    Error: {
      type: 'object',
      properties: { error: ref('ErrorObject') },
      required: ['error'],
    },
    ErrorObject: {
      type: 'object',
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: {
          type: ['string', 'null'],
          description: 'The member or the header at fault.',
        },
        code: {
          description: 'To branch on. Errors of providers keep their own codes.',
          anyOf: [ref('ErrorCode'), { type: ['string', 'null'] }],
        },
        request_id: { type: 'string', description: 'As `x-request-id`.' },
      },
      required: ['message', 'type', 'param', 'code'],
      additionalProperties: true,
    },
    ErrorCode: {
      description: 'The codes of Millrace itself.',
      enum: codes.map(([code]) => code),
    },
  };
}
