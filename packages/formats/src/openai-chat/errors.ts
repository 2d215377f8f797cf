import { isJsonObject } from '@millrace/shared/domain/json';
import { errorOf } from './chunk.ts';
import { faultInAnswer } from '../errors/read-error.ts';
import type { Asked } from '../errors/read-error.ts';
import { saysWhy } from '../errors/reason.ts';
import type { Verdict } from '../port.ts';

/** The fault that an error inside an answer is. `asked`: the call that it answers. */
export const fromErrorEvent = (error: unknown, asked: Asked): Verdict => ({
  kind: 'fault',
  fault: faultInAnswer(error, asked),
});

/**
 * The error that stands in the place of an answer or of a piece of it; undefined where there is none.
 * `event`: the name of the event that it came in.
 */
export function errorInJson(answer: unknown, event?: string): object | undefined {
  const error = errorOf(answer);
  if (error !== undefined || !isJsonObject(answer)) return error;
  if (event === 'error') return answer;
  const mayBe = event === undefined || event === 'message';
  return mayBe && !('choices' in answer) && saysWhy(answer) ? answer : undefined;
}
