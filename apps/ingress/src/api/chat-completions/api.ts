import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { ClientApi } from '../port.ts';
import { encodeStream } from './encoder.ts';
import { parseChatRequest } from './request.ts';
import { description } from './description.ts';

/** OpenAI's Chat Completions, the format in which chunks are logged: its answers are the lines of the log. */
export const chatCompletions: ClientApi = {
  path: '/v1/chat/completions',
  description,
  parse: parseChatRequest,
  head: () => ({}),
  encodeStream,
  encodeWhole: (result) => result,
  errorBody: (error: OpenAiError) => ({ error }),
};
