import { finishReasons, visibility } from '@millrace/shared/domain/chunk';
import type { Try } from './history.ts';
import type { Shown } from './delivered.ts';

/*
 * What counts as progress of an answer: a character, a part, a tool call or an end that readers did not
 * have. Vendor fields and annotations are none, nor are empty values and what was shown before, be it
 * before readers were told to forget it.
 */

/** Upstream calls in a row that bring no progress, with the one that brought the last. */
export const maxCallsWithoutProgress = 10;
/** Upstream calls for one request in all: each one costs its provider's prompt again. */
export const maxCalls = 100;

/** Whether a chunk behind the seam, which has nothing in it that was shown, is progress. */
export const isProgress = (chunk: unknown): boolean =>
  visibility(chunk) === 'visible' || finishReasons(chunk).length > 0;

/** How far an answer has come: it grows with all that is progress, and with nothing else. */
export const reach = ({ chars, partChars, toolCall, finished }: Shown): number =>
  chars + partChars + finished.size + (toolCall ? 1 : 0);

/** The tries since something was shown: those before had their success. */
export function sinceShown(tries: readonly Try[]): readonly Try[] {
  const last = tries.findLastIndex(({ spoke }) => spoke);
  return tries.slice(last + 1);
}

/** Whether a request has had all the upstream calls that it may have. */
export function isSpent(tries: readonly Try[]): boolean {
  const last = tries.findLastIndex(({ advanced }) => advanced);
  return tries.length >= maxCalls || tries.length - Math.max(0, last) >= maxCallsWithoutProgress;
}
