import type { ClientFormat } from '../../client-port.ts';
import { errorBody } from './error.ts';
import { toInner } from './request.ts';
import { encodeStream } from './stream-encoder.ts';
import { encodeWhole } from './whole-encoder.ts';

/** Google's Gemini API, as clients use it. */
export const geminiClient: ClientFormat = { toInner, encodeStream, encodeWhole, errorBody };
