import { finishReasons, visibility } from '@millrace/formats/openai-chat/chunk';
import type { AttemptState } from './history.ts';
import type { Delivered } from './delivered.ts';

/*
 * What counts as progress of an answer: a character, a part, a tool call or an end that readers did not have.
 * Vendor fields, annotations and empty values do not count, nor does what was delivered before, even if
 * readers took it back.
 */

/** The most consecutive upstream calls without progress, counted from the last one with progress. */
export const maxCallsWithoutProgress = 10;
/** The most upstream calls for one request: the provider charges the prompt for each. */
export const maxCalls = 100;

/** Whether a chunk behind the seam, from which delivered content was removed, is progress. */
export const isProgress = (chunk: unknown): boolean =>
  visibility(chunk) === 'visible' || finishReasons(chunk).length > 0;

/** A measure of an answer's progress: it grows with progress and with nothing else. */
export const progressOf = ({ chars, partChars, toolCall, finished }: Delivered): number =>
  chars + partChars + finished.size + (toolCall ? 1 : 0);

/** The attempts since the last one of which something was delivered. */
export function sinceDelivered(attempts: readonly AttemptState[]): readonly AttemptState[] {
  const last = attempts.findLastIndex(({ wasDelivered }) => wasDelivered);
  return attempts.slice(last + 1);
}

/** Whether a request has used up its upstream calls. */
export function isExhausted(all: readonly AttemptState[]): boolean {
  // An operator's moves use up nothing.
  const attempts = all.filter(({ outcome }) => outcome !== 'moved');
  const last = attempts.findLastIndex(({ advanced }) => advanced);
  return all.length >= maxCalls || attempts.length - Math.max(0, last) >= maxCallsWithoutProgress;
}
