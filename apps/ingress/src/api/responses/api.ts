import { openAiResponsesClient } from '@millrace/formats/openai-responses/client/format';
import type { AnswerFacts } from '@millrace/formats/client-port';
import { echoOf, ownMembers, responseOf } from '@millrace/formats/openai-responses/client/response';
import { memberText, setMembers } from '@millrace/shared/domain/json-text';
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

/** Members that a provider's own response gets: it was sent a conversation in place of an id, and keeps nothing. */
const ownTexts = (answer: AnswerFacts): Record<string, string> =>
  Object.fromEntries(
    Object.entries(ownMembers(answer)).map(([name, value]) => [name, JSON.stringify(value)]),
  );

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
        ...ownTexts(answer),
      }),
    };
  },
  // With the provider's own items, which no completion has.
  assemble(chunks, answer) {
    if (chunks.length === 0) return undefined;
    const encoder = openAiResponsesClient.encodeStream(answer);
    for (const chunk of chunks) encoder.chunk(chunk);
    const end = encoder.end(answer.completedAt).at(-1);
    return end && memberText(end.data, 'response');
  },
  encodeQueued: (answer) => responseOf(answer, { status: 'queued' }),
};
