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
      previous_response_id: {
        type: ['string', 'null'],
        description:
          'The response that this one continues: its input and output come before `input`.',
      },
      store: {
        type: ['boolean', 'null'],
        description: 'False: no later response can continue this one.',
      },
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
  ownErrors: ['previous_response_not_found'],
  example: { model: 'simulated', input: 'Hello' },
};

export const responseSocketOperation: Operation = {
  tag: 'Client APIs',
  access: 'key',
  summary: 'Open a WebSocket for responses',
  description:
    'A client sends `response.create` frames: the members of a request, and `stream_id` to name a lane. It gets the events of each response as JSON texts.',
  answers: {
    '101': {
      description:
        'The connection is a WebSocket from now on. The server sends messages with this schema.',
      content: { 'application/json': ref('ResponseEvent') },
    },
    default: {
      description: 'The handshake is refused.',
      content: { 'application/json': ref('Error') },
    },
  },
  errors: [...ofAny, ...ofClients, 'method_not_supported'],
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

export const deleteOperation: Operation = {
  tag: 'Client APIs',
  access: 'key',
  summary: 'Delete a response, and cancel it if it is running',
  parameters: [id],
  answers: {
    '200': {
      description: 'It is deleted.',
      content: {
        'application/json': {
          type: 'object',
          properties: {
            id: { type: 'string' },
            object: { const: 'response' },
            deleted: { const: true },
          },
          required: ['id', 'object', 'deleted'],
        },
      },
    },
  },
  errors: [...ofAny, ...ofClients, ...ofJobs],
};

export const inputOperation: Operation = {
  tag: 'Client APIs',
  access: 'key',
  summary: 'List the input items of a response',
  parameters: [
    id,
    {
      name: 'limit',
      in: 'query',
      description: 'Items of a page.',
      schema: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
    },
    {
      name: 'order',
      in: 'query',
      description: 'By their position in the input.',
      schema: { enum: ['asc', 'desc'], default: 'desc' },
    },
    {
      name: 'after',
      in: 'query',
      description: 'The id of the last item that the client has.',
      schema: { type: 'string' },
    },
  ],
  answers: {
    '200': {
      description: 'The items, with those of the responses that it continues.',
      content: {
        'application/json': {
          type: 'object',
          properties: {
            object: { const: 'list' },
            data: { type: 'array', items: open },
            first_id: { type: ['string', 'null'] },
            last_id: { type: ['string', 'null'] },
            has_more: { type: 'boolean' },
          },
          required: ['object', 'data', 'first_id', 'last_id', 'has_more'],
        },
      },
    },
  },
  errors: [...ofAny, ...ofClients, ...ofJobs, 'invalid_value'],
};

export const cancelOperation: Operation = {
  tag: 'Client APIs',
  access: 'key',
  summary: 'Cancel a response',
  parameters: [id],
  answers: { '200': { description: 'The response.', content: json } },
  errors: [...ofAny, ...ofClients, ...ofJobs, 'server_busy', 'unsupported_content_type'],
};
