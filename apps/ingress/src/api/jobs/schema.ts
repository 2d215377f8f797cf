import { highestCapUsd } from '@millrace/shared/cost/usd';
import { priorities } from '@millrace/shared/domain/request';
import { ref } from '../openapi/operation.ts';
import type { Parameter, Schema } from '../openapi/operation.ts';
import { costTextSchema, deadlineSchema, entryIdSchema } from '../request-headers.ts';

/*
 * The schemas of jobs. The members of those for requests are the ones that are read: their readers take the names from here, and
 * a test holds the verdicts of both against each other.
 */

const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });

const seconds = { type: 'number', description: 'Seconds since the epoch.' };
const openObject = { type: 'object', additionalProperties: true };

/** Members that jobs and `create` frames have in common. */
export const submissionMembers = {
  endpoint: {
    $ref: '#/components/schemas/Endpoint',
    default: '/v1/chat/completions',
    description: 'The client API whose format `body`, `chunk` events and `result` have.',
  },
  body: {
    ...ref('ClientApiRequest'),
    description: 'The request, as it would be sent to `endpoint`.',
  },
  priority: { enum: [...priorities, null], description: 'At most the priority of the key.' },
  deadline: {
    ...orNull(deadlineSchema),
    description: 'The request fails when this has passed: a duration from now or an RFC 3339 time.',
  },
  max_cost: {
    anyOf: [
      { type: 'number', minimum: 0, maximum: highestCapUsd },
      costTextSchema,
      { type: 'null' },
    ],
    description: `The most that the request may cost, in USD, from 0 to ${highestCapUsd}.`,
  },
  metadata: {
    ...openObject,
    description: 'For the client: views of the job and its webhook repeat it.',
  },
} as const satisfies Record<string, Schema>;

const jobMembers = {
  ...submissionMembers,
  webhook: {
    type: ['object', 'null'],
    description: 'Where a signed message goes when the job has ended.',
    properties: {
      url: { type: 'string', maxLength: 2048, description: 'Default: that of the config.' },
    },
    additionalProperties: false,
  },
} as const satisfies Record<string, Schema>;

/** The members of a job that a client sends. */
export const jobFields: ReadonlySet<string> = new Set(Object.keys(jobMembers));

export const jobIdParameter: Parameter = {
  name: 'id',
  in: 'path',
  description: 'The id of the request: the `x-request-id` of its answer, or the `id` of its job.',
  schema: { type: 'string', examples: ['req_0_0mh000000abcdef0123456789abcdef01'] },
};

export const afterParameter: Parameter = {
  name: 'after',
  in: 'query',
  description: 'As `Last-Event-ID`, which goes before it.',
  schema: entryIdSchema,
};

const object = (properties: Readonly<Record<string, Schema>>, required: string[]): Schema => ({
  type: 'object',
  properties,
  required,
});

/** The data of each event of a stream, by the event's name. */
export const eventData = {
  queued: object(
    {
      position: { type: 'integer', description: 'How many requests wait before this one.' },
      estimated_wait_ms: { type: 'number', description: 'Absent while unknown.' },
    },
    ['position'],
  ),
  attempt: object(
    {
      run: { type: 'integer' },
      attempt: { type: 'integer' },
      provider: { type: 'string' },
      model: { type: 'string' },
      mode: { enum: ['start', 'continue', 'replay', 'anchor', 'restart'] },
    },
    ['run', 'attempt', 'provider', 'model', 'mode'],
  ),
  chunk: {
    ...openObject,
    description: 'A part of the answer, or the whole one, in the format of the endpoint.',
  },
  reset: object(
    { reason: { type: 'string', description: 'Discard the answer so far: it begins anew.' } },
    ['reason'],
  ),
  moved: object(
    {
      reason: { const: 'server_draining' },
      events_url: { type: 'string', description: 'Where another server continues the stream.' },
    },
    ['reason', 'events_url'],
  ),
  done: object(
    {
      status: { const: 'completed' },
      finish_reason: { type: ['string', 'null'] },
      usage: openObject,
      attempts: { type: 'integer' },
    },
    ['status', 'finish_reason', 'attempts'],
  ),
  failed: object({ status: { const: 'failed' }, error: ref('ErrorObject') }, ['status', 'error']),
  cancelled: object({ status: { const: 'cancelled' } }, ['status']),
} as const satisfies Record<string, Schema>;

const streamEvents = Object.entries(eventData).map(([event, data]) =>
  object(
    {
      event: { const: event },
      id: { ...entryIdSchema, description: 'For `Last-Event-ID`.' },
      data,
    },
    ['event', 'data'],
  ),
);

export const jobSchemas: Readonly<Record<string, Schema>> = {
  JobRequest: {
    ...object(jobMembers, ['body']),
    additionalProperties: false,
  },
  CreatedJob: object(
    {
      id: { type: 'string' },
      status: ref('JobStatus'),
      created_at: seconds,
      events_url: { type: 'string' },
    },
    ['id', 'status', 'created_at', 'events_url'],
  ),
  JobStatus: { enum: ['queued', 'running', 'completed', 'failed', 'cancelled'] },
  Job: object(
    {
      id: { type: 'string' },
      status: ref('JobStatus'),
      created_at: seconds,
      finished_at: seconds,
      queue_position: {
        type: 'integer',
        description: 'While it waits: how many requests wait before it.',
      },
      estimated_wait_ms: { type: 'number', description: 'Absent while unknown.' },
      attempts: { type: 'array', items: ref('Attempt') },
      metadata: openObject,
      usage: { ...openObject, description: 'As the provider reports it.' },
      error: ref('ErrorObject'),
      result: {
        type: ['object', 'null'],
        additionalProperties: true,
        description: 'The whole answer in the format of the endpoint, once it is complete.',
      },
      result_omitted: {
        const: 'too_large',
        description: 'The answer is too large to be assembled: read its events.',
      },
    },
    ['id', 'status', 'created_at', 'attempts'],
  ),
  Attempt: object(
    {
      run: { type: 'integer' },
      attempt: { type: 'integer' },
      provider: { type: 'string' },
      model: { type: 'string' },
      started_at: seconds,
      first_token_at: seconds,
      ended_at: seconds,
      outcome: {
        type: 'string',
        description:
          '`running`, `completed`, `superseded`, `handed_over`, `worker_lost`, `cancelled`, or the code of the fault.',
      },
      usage: openObject,
      estimated: { const: true, description: 'A part of the usage is estimated from the text.' },
    },
    ['run', 'attempt', 'provider', 'model', 'started_at', 'outcome'],
  ),
  EndedJob: object({ id: { type: 'string' }, status: ref('JobStatus') }, ['id', 'status']),
  StreamEvent: {
    description:
      'One server-sent event, with `data` as a JSON text; the stream is a sequence of them. An event `error` ends a connection, not the request.',
    oneOf: [
      ...streamEvents,
      object({ event: { const: 'error' }, data: ref('Error') }, ['event', 'data']),
    ],
  },
  ReadTokenRequest: {
    ...object(
      {
        expires_in: {
          type: 'string',
          pattern: String.raw`^\d+(\.\d+)?(ms|s|m|h|d)$`,
          default: '10m',
          description: 'A duration from `1s` to `24h`.',
        },
      },
      [],
    ),
    additionalProperties: false,
  },
  ReadToken: object(
    {
      token: { type: ['string', 'null'], description: '`null`: this server needs no key.' },
      expires_at: { type: ['integer', 'null'], description: 'Seconds since the epoch.' },
      events_url: { type: 'string', description: 'With the token, for an `EventSource`.' },
    },
    ['token', 'expires_at', 'events_url'],
  ),
};
