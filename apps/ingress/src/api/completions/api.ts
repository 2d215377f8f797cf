import { openAiCompletionsClient } from '@millrace/formats/openai-completions/client/format';
import { isJsonObject } from '@millrace/shared/domain/json';
import { formatApi } from '../format-api.ts';
import type { ClientApi } from '../port.ts';
import { description } from './description.ts';

const texts = formatApi({
  path: '/v1/completions',
  description,
  format: openAiCompletionsClient,
});

/** OpenAI's Completions: a stream has its usage only on demand, and a marker at its end, as one of chat completions has. */
export const completions: ClientApi = {
  ...texts,
  parse(body, headers) {
    const parsed = texts.parse(body, headers);
    const { stream_options: options } = body;
    const includeUsage = isJsonObject(options) && options['include_usage'] === true;
    return parsed.kind === 'refused' ? parsed : { ...parsed, includeUsage };
  },
  encodeStream(options) {
    const encoder = texts.encodeStream(options);
    return {
      ...encoder,
      chunk: (line) => (line.text[0] === 'u' && !options.includeUsage ? '' : encoder.chunk(line)),
      end: (completedAt) => `${encoder.end(completedAt)}data: [DONE]\n\n`,
    };
  },
};
