import type { ApiDescription } from '../openapi/client-api.ts';
import { ofAny, ofClients, ofJobs } from '../openapi/error-groups.ts';
import { ref } from '../openapi/operation.ts';
import type { Operation, Parameter } from '../openapi/operation.ts';

const open = { type: 'object', additionalProperties: true };

/** OpenAI's Responses. */
export const description: ApiDescription = {
  name: 'Response',
  summary: 'Create a response',
  vendor: 'OpenAI',
  reference: 'https://platform.openai.com/docs/api-reference/responses/create',
  request: {
    type: 'object',
    properties: {
      model: { type: 'string', minLength: 1, description: 'One of `GET /v1/models`.' },
      input: { type: ['string', 'array'], items: open },
      stream: { type: ['boolean', 'null'], description: 'Whether the answer is a stream.' },
      background: {
        type: ['boolean', 'null'],
        description: 'The answer comes at once, with the status `queued`, and can be read later.',
      },
    },
    required: ['model', 'input'],
    additionalProperties: true,
  },
  answer: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      object: { const: 'response' },
      status: { type: 'string' },
      model: { type: 'string' },
      output: { type: 'array', items: open },
      usage: { type: ['object', 'null'], additionalProperties: true },
    },
    required: ['id', 'object', 'output'],
    additionalProperties: true,
  },
  event: {
    description: 'The data of one event, whose name is its `type`.',
    type: 'object',
    properties: { type: { type: 'string' }, sequence_number: { type: 'integer' } },
    required: ['type'],
    additionalProperties: true,
  },
  example: { model: 'simulated', input: 'Hello' },
};

const id: Parameter = {
  name: 'id',
  in: 'path',
  description: 'The id of the response.',
  schema: { type: 'string', examples: ['resp_0_0mh000000abcdef0123456789abcdef01'] },
};

const json = { 'application/json': ref('Response') };

export const readOperation: Operation = {
  tag: 'Client APIs',
  access: 'key',
  summary: 'Read a response, or its stream again',
  parameters: [
    id,
    {
      name: 'stream',
      in: 'query',
      description: 'Only of a response that was created with `stream`.',
      schema: { enum: ['true', 'false'] },
    },
    {
      name: 'starting_after',
      in: 'query',
      description: 'The `sequence_number` of the last event that the client has.',
      schema: { type: 'integer', minimum: 0 },
    },
  ],
  answers: {
    '200': {
      description: 'The response, or its events.',
      content: { ...json, 'text/event-stream': ref('ResponseEvent') },
    },
  },
  errors: [
    ...ofAny,
    ...ofClients,
    ...ofJobs,
    'invalid_request',
    'invalid_cursor',
    'cursor_ahead',
    'server_busy',
  ],
};

export const cancelOperation: Operation = {
  tag: 'Client APIs',
  access: 'key',
  summary: 'Cancel a response',
  parameters: [id],
  answers: { '200': { description: 'The response.', content: json } },
  errors: [...ofAny, ...ofClients, ...ofJobs, 'server_busy', 'unsupported_content_type'],
};
