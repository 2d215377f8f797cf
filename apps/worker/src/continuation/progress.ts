import { finishReasons, visibility } from '@millrace/formats/openai-chat/chunk';
import type { AttemptState } from './history.ts';
import type { Delivered } from './delivered.ts';

/*
 * What counts as progress of an answer: a character, a part, a tool call or an end that readers did not
 * have. Vendor fields and annotations are none, nor are empty values and what was shown before, be it
 * before readers took it back.
 */

/** Upstream calls in a row that bring no progress, with the one that brought the last. */
export const maxCallsWithoutProgress = 10;
/** Upstream calls for one request in all: each one costs its provider's prompt again. */
export const maxCalls = 100;

/** Whether a chunk behind the seam, which has nothing in it that was shown, is progress. */
export const isProgress = (chunk: unknown): boolean =>
  visibility(chunk) === 'visible' || finishReasons(chunk).length > 0;

/** How far an answer has come: it grows with all that is progress, and with nothing else. */
export const progressOf = ({ chars, partChars, toolCall, finished }: Delivered): number =>
  chars + partChars + finished.size + (toolCall ? 1 : 0);

/** The tries since something was shown: those before had their success. */
export function sinceDelivered(attempts: readonly AttemptState[]): readonly AttemptState[] {
  const last = attempts.findLastIndex(({ wasDelivered }) => wasDelivered);
  return attempts.slice(last + 1);
}

/** Whether a request has had all the upstream calls that it may have. */
export function isExhausted(attempts: readonly AttemptState[]): boolean {
  const last = attempts.findLastIndex(({ advanced }) => advanced);
  return (
    attempts.length >= maxCalls || attempts.length - Math.max(0, last) >= maxCallsWithoutProgress
  );
}
