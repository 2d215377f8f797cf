import { ofAdmission, ofAny, ofBodies, ofClients, ofJobs } from '../openapi/error-groups.ts';
import { ref } from '../openapi/operation.ts';
import type { Operation } from '../openapi/operation.ts';
import { creationHeaders, lastEventId } from '../request-headers.ts';
import { afterParameter, jobIdParameter } from './schema.ts';
import { rateLimitHeaders } from '../../server/answer-headers.ts';

const common = { tag: 'Jobs', access: 'key' } as const;
const json = (name: string) => ({ 'application/json': ref(name) });

export const createOperation: Operation = {
  ...common,
  summary: 'Create a job',
  description:
    'The request runs without a connection. Its status, its stream and its result can be read at every server of the fleet.',
  parameters: creationHeaders,
  body: {
    schema: ref('JobRequest'),
    example: {
      deadline: '10m',
      metadata: { order: 42 },
      body: { model: 'simulated', stream: true, messages: [{ role: 'user', content: 'Hello' }] },
    },
  },
  answers: {
    '202': {
      description:
        'The job was created, or an earlier call with the same `Idempotency-Key` has created it.',
      content: json('CreatedJob'),
      headers: ['location', 'idempotent-replayed', ...rateLimitHeaders],
    },
  },
  errors: [
    ...ofAny,
    ...ofClients,
    ...ofBodies,
    ...ofAdmission,
    'unknown_parameter',
    'metadata_too_large',
    'webhooks_off',
    'server_draining',
  ],
};

export const viewOperation: Operation = {
  ...common,
  summary: 'Read a job',
  description: 'Every request is a job, also one that came by another path.',
  parameters: [jobIdParameter],
  answers: { '200': { description: 'The job.', content: json('Job') } },
  errors: [...ofAny, ...ofClients, ...ofJobs, 'server_busy'],
};

export const cancelOperation: Operation = {
  ...common,
  summary: 'Cancel a job, for every reader',
  parameters: [jobIdParameter],
  answers: {
    '200': { description: 'How the job has ended, now or before.', content: json('EndedJob') },
  },
  errors: [...ofAny, ...ofClients, ...ofJobs],
};

export const eventsOperation: Operation = {
  ...common,
  access: 'key or read token',
  summary: 'Read the stream of a request',
  description:
    'From its start or behind an event, by any number of readers, until the retention has passed.',
  parameters: [jobIdParameter, lastEventId, afterParameter],
  answers: {
    '200': {
      description: 'The events, to the end of the request.',
      content: { 'text/event-stream': ref('StreamEvent') },
    },
    '204': { description: 'The reader has all events: an `EventSource` stops.' },
  },
  errors: [...ofAny, ...ofClients, ...ofJobs, 'invalid_cursor'],
};

export const tokenOperation: Operation = {
  ...common,
  summary: 'Create a read token',
  description: 'With it a web page reads this one stream without a key.',
  parameters: [jobIdParameter],
  body: { schema: ref('ReadTokenRequest'), isOptional: true, example: { expires_in: '10m' } },
  answers: { '201': { description: 'The token.', content: json('ReadToken') } },
  errors: [
    ...ofAny,
    ...ofClients,
    ...ofBodies,
    ...ofJobs,
    'invalid_value',
    'invalid_type',
    'unknown_parameter',
    'token_unavailable',
  ],
};
