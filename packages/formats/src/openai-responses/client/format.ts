import type { ClientFormat } from '../../client-port.ts';
import { toInner } from './request.ts';
import { ResponseEncoder } from './stream-encoder.ts';
import { encodeWhole } from './whole-encoder.ts';

/** OpenAI's Responses API, as clients use it. */
export const openAiResponsesClient: ClientFormat = {
  toInner,
  encodeStream: (answer) => new ResponseEncoder(answer),
  encodeWhole,
  errorBody: (error) => ({ error }),
};
