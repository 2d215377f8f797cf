import type { ClientFormat } from '../../client-port.ts';
import { toInner } from './request.ts';
import { encodeStream } from './stream-encoder.ts';
import { encodeWhole } from './whole-encoder.ts';

/** OpenAI's Completions, the predecessor of its Chat Completions, as clients use it. */
export const openAiCompletionsClient: ClientFormat = {
  toInner,
  encodeStream,
  encodeWhole,
  errorBody: (error) => ({ error }),
};
