import { continuations, priorities } from '@millrace/shared/domain/request';
import { longestIdempotencyKey } from '../exchange/idempotency.ts';
import type { Parameter, Schema } from './openapi/operation.ts';

/* The headers by which a client says what to do with its request. headers.ts reads them. */

export const disconnectModes = ['cancel', 'keep'] as const;

/** A duration from now, or an RFC 3339 time. */
export const deadlineSchema: Schema = {
  type: 'string',
  anyOf: [
    { pattern: String.raw`^\d+(\.\d+)?(ms|s|m|h|d)$` },
    {
      pattern: String.raw`^\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?([Zz]|[+\-]\d\d:\d\d)$`,
    },
  ],
  examples: ['30s', '2030-01-31T12:00:00Z'],
};

/** An amount in USD as text. */
export const costTextSchema: Schema = {
  type: 'string',
  pattern: String.raw`^\d{1,20}(\.\d{1,20})?([eE]-?\d{1,2})?$`,
  examples: ['0.05'],
};

export const entryIdSchema: Schema = {
  type: 'string',
  pattern: String.raw`^(0|[1-9]\d{0,9})-(0|[1-9]\d{0,14})$`,
  examples: ['1-17'],
};

const header = (name: string, description: string, schema: Schema): Parameter => ({
  name,
  in: 'header',
  description,
  schema,
});

export const idempotencyKey = header(
  'Idempotency-Key',
  'A repeated call with the same key and the same body, at any server of the fleet, gets the running or finished answer of the first.',
  {
    type: 'string',
    minLength: 1,
    maxLength: longestIdempotencyKey,
    pattern: String.raw`^\P{Cc}*$`,
  },
);

export const priority = header('x-millrace-priority', 'At most the priority of the key.', {
  enum: priorities,
});

export const deadline = header(
  'x-millrace-deadline',
  'The request fails when this has passed: a duration from now or an RFC 3339 time.',
  deadlineSchema,
);

export const continuation = header(
  'x-millrace-continuation',
  'How an answer may continue after a fault in the middle. Default: the setting of the model.',
  { enum: continuations },
);

export const maxCost = header(
  'x-millrace-max-cost',
  'The most that the request may cost, in USD, from 0 to 1,000,000.',
  costTextSchema,
);

export const onDisconnect = header(
  'x-millrace-on-disconnect',
  '`cancel`: when the client disconnects, the request is cancelled. `keep`: it runs on, and can be read later.',
  { enum: disconnectModes, default: 'cancel' },
);

export const eventIds = header(
  'x-millrace-event-ids',
  'Whether a stream has `id:` lines, with which `Last-Event-ID` continues it.',
  { enum: ['on', 'off'] },
);

export const lastEventId = header(
  'Last-Event-ID',
  'The `id` of the last event that the client has: the stream continues behind it. Empty: from its start.',
  { type: 'string', pattern: String.raw`^((0|[1-9]\d{0,9})-(0|[1-9]\d{0,14}))?$` },
);

export const traceparent = header(
  'traceparent',
  'W3C trace context: a fleet with telemetry continues this trace.',
  { type: 'string' },
);

/** Of every call that creates a request. */
export const creationHeaders: readonly Parameter[] = [
  idempotencyKey,
  deadline,
  priority,
  continuation,
  maxCost,
  traceparent,
];
