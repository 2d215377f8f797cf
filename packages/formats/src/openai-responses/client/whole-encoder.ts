import { isJsonObject } from '@millrace/shared/domain/json';
import { parseExactly } from '../../exact-json.ts';
import type { AnswerFacts } from '../../client-port.ts';
import { ResponseEncoder } from './stream-encoder.ts';

/** A chat completion as a response. Only its first choice has a counterpart. */
export function encodeWhole(completion: string, answer: AnswerFacts): string {
  const value = parseExactly(completion);
  const encoder = new ResponseEncoder(answer);
  encoder.addChunk(isJsonObject(value) ? value : {});
  return JSON.stringify(encoder.finish(answer.completedAt));
}
