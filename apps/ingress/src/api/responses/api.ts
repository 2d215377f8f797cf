import { openAiResponsesClient } from '@millrace/formats/openai-responses/client/format';
import { echoOf, responseId, responseOf } from '@millrace/formats/openai-responses/client/response';
import { isJsonObject } from '@millrace/shared/domain/json';
import { setMembers } from '@millrace/shared/domain/json-text';
import { formatApi } from '../format-api.ts';
import type { ClientApi } from '../port.ts';
import { continueResponse } from './conversation.ts';
import { description } from './description.ts';

const api = formatApi({
  path: '/v1/responses',
  description,
  format: openAiResponsesClient,
  echo: echoOf,
});

/** The provider was sent the conversation in place of the id. */
const previousOf = (echo: unknown): Record<string, string> => {
  const id = isJsonObject(echo) ? echo['previous_response_id'] : undefined;
  return id === undefined ? {} : { previous_response_id: JSON.stringify(id) };
};

/** OpenAI's Responses. */
export const responses: ClientApi = {
  ...api,
  parse(body, headers) {
    const parsed = api.parse(body, headers);
    return parsed.kind === 'refused'
      ? parsed
      : {
          ...parsed,
          background: body['background'] === true,
          ...(body['store'] !== false && { keepsBody: true as const }),
        };
  },
  resolve: continueResponse,
  encodeWhole(result, answer) {
    const whole = api.encodeWhole(result, answer);
    // The provider's own response, under the id that this server knows.
    if (result.native === undefined) return whole;
    return {
      ...whole,
      body: setMembers(whole.body, {
        id: JSON.stringify(responseId(answer.id)),
        ...previousOf(answer.echo),
      }),
    };
  },
  encodeQueued: (answer) => responseOf(answer, { status: 'queued' }),
};
