import { rateLimitHeaders } from '../../server/answer-headers.ts';
import type { ErrorCode } from '../../errors.ts';
import type { ClientApi } from '../port.ts';
import { creationHeaders, eventIds, lastEventId, onDisconnect } from '../request-headers.ts';
import { ofAdmission, ofAny, ofAnswers, ofBodies, ofClients } from './error-groups.ts';
import { ref } from './operation.ts';
import type { Operation, Parameter, Schema } from './operation.ts';

/** What the OpenAPI document says of a client API. The schemas have the members that this server reads or writes itself. */
export type ApiDescription = {
  /** The prefix of its schemas, such as `ChatCompletion`. */
  name: string;
  summary: string;
  vendor: string;
  /** The URL of the vendor's reference. */
  reference: string;
  /** In addition to the headers of all client APIs; those of the path, too. */
  parameters?: readonly Parameter[];
  request: Schema;
  /** The request as a form. */
  form?: Schema;
  answer: Schema;
  /** Schemas of answers that are no JSON, by content type. */
  otherAnswers?: Readonly<Record<string, Schema>>;
  /** The data of one event of a stream. Absent: the API has no streams. */
  event?: Schema;
  /** Absent: OpenAI's. */
  error?: Schema;
  /** Codes of errors in addition to those of all client APIs. */
  ownErrors?: readonly ErrorCode[];
  example: unknown;
};

/** The names of the schemas of an API. */
const namesOf = ({ name }: ApiDescription) => ({
  request: `${name}Request`,
  answer: name,
  event: `${name}Event`,
  error: `${name}Error`,
});

/** The schemas of an API by their names. */
export function schemasOf(description: ApiDescription): Record<string, Schema> {
  const { request, answer, event, error } = description;
  const names = namesOf(description);
  return {
    [names.request]: request,
    [names.answer]: answer,
    ...(event && { [names.event]: event }),
    ...(error && { [names.error]: error }),
  };
}

/** The operation of an API's POST routes. */
export function operationOf({ description }: ClientApi): Operation {
  const { summary, vendor, reference, parameters = [], event, error, example } = description;
  const { form, otherAnswers, ownErrors = [] } = description;
  const names = namesOf(description);
  return {
    tag: 'Client APIs',
    access: 'key',
    summary,
    description: `As in the API of ${vendor}${event ? ', streamed or whole' : ''}. The schemas name the members that Millrace reads or writes; all others pass.`,
    reference,
    parameters: [
      ...parameters,
      ...creationHeaders,
      onDisconnect,
      ...(event ? [eventIds, lastEventId] : []),
    ],
    body: { schema: ref(names.request), example, ...(form && { form }) },
    answers: {
      '200': {
        description: event
          ? 'The answer: events if the request asks for a stream.'
          : 'The answer of the provider.',
        content: {
          'application/json': ref(names.answer),
          ...(event && { 'text/event-stream': ref(names.event) }),
          ...otherAnswers,
        },
        headers: [
          'x-millrace-served-by',
          'x-millrace-attempts',
          'idempotent-replayed',
          ...rateLimitHeaders,
        ],
      },
    },
    errors: [...ofAny, ...ofClients, ...ofBodies, ...ofAdmission, ...ofAnswers, ...ownErrors],
    errorSchema: ref(error ? names.error : 'Error'),
    passesErrors: true,
  };
}
