import { continuations } from '@millrace/shared/domain/request';
import { eventData, submissionMembers } from '../jobs/schema.ts';
import { ofAny, ofClients } from '../openapi/error-groups.ts';
import { ref } from '../openapi/operation.ts';
import type { Operation, Schema } from '../openapi/operation.ts';
import { entryIdSchema, idempotencyKey } from '../request-headers.ts';

/* The frames of the WebSocket. `create` takes the names of its members from here. */

/** Characters of `ref`, a client's own name for a request, which the answers repeat. */
export const longestRef = 200;

const id = { type: 'string', minLength: 1, description: 'The id of a request.' };
const own = { type: 'string', description: 'The name that the client gave its frame.' };

const createMembers = {
  type: { const: 'create' },
  ref: { ...own, maxLength: longestRef },
  ...submissionMembers,
  detached: {
    type: 'boolean',
    default: false,
    description: 'The request runs on when the socket closes.',
  },
  idempotency_key: idempotencyKey.schema,
  continuation: { enum: [...continuations, null] },
} as const satisfies Record<string, Schema>;

/** The members of a `create` frame. */
export const createFields: ReadonlySet<string> = new Set(Object.keys(createMembers));

const frame = (
  type: string,
  properties: Readonly<Record<string, Schema>> = {},
  required = Object.keys(properties),
): Schema => ({
  type: 'object',
  properties: { type: { const: type }, ...properties },
  required: ['type', ...required],
});

export const socketSchemas: Readonly<Record<string, Schema>> = {
  CreateFrame: { ...frame('create', createMembers, ['body']), additionalProperties: false },
  ClientFrame: {
    description: 'What a client sends: one JSON object a message.',
    oneOf: [
      ref('CreateFrame'),
      frame('auth', { key: { type: 'string' } }, []),
      frame('subscribe', { id, after: entryIdSchema }, ['id']),
      frame('unsubscribe', { id }),
      frame('cancel', { id }),
      frame('ping'),
    ],
  },
  ServerFrame: {
    description: 'What the server sends: one JSON object a message.',
    oneOf: [
      frame('authenticated'),
      frame('pong'),
      frame('created', { id, ref: own }, ['id']),
      ...Object.entries(eventData).map(([type, data]) =>
        frame(type, { id, entry: entryIdSchema, data }, ['id', 'data']),
      ),
      frame('error', { ref: own, id, error: ref('FrameError') }, ['error']),
    ],
  },
  FrameError: {
    description: 'An error, with the time to wait where HTTP has `Retry-After`.',
    type: 'object',
    allOf: [ref('ErrorObject')],
    properties: { retry_after_ms: { type: 'number' } },
  },
};

export const socketOperation: Operation = {
  tag: 'WebSocket',
  access: 'key',
  summary: 'Open a WebSocket',
  description:
    'Carries many requests. A web page, which cannot set headers, sends its key in an `auth` frame first.',
  answers: {
    '101': {
      description: 'The connection is a WebSocket from now on. Its messages have these schemas.',
      content: { 'application/json': { anyOf: [ref('ClientFrame'), ref('ServerFrame')] } },
    },
    default: {
      description: 'The handshake is refused.',
      content: { 'application/json': ref('Error') },
    },
  },
  errors: [...ofAny, ...ofClients, 'upgrade_required'],
};
