import type { JsonObject } from '@millrace/shared/domain/json';
import type { ContinuationStrategy } from './strategies.ts';
import { replayFilter } from './replay-filter.ts';
import { dropped } from './splice/splice.ts';
import type { SeamFailure } from './splice/splice.ts';
import type { Delivered } from './delivered.ts';
import { textFilter } from './text-filter.ts';

/**
 * Filters the chunks of a new attempt for readers who have a part of the answer already. It holds the chunks
 * back until their text has passed the seam, and then passes the new content as chunks that fit the delivered
 * ones: no second role, no second finish_reason.
 */
export type SpliceFilter = {
  /** `size`: characters of the chunk as JSON. */
  take(chunk: unknown, size: number): FilterStep;
  /** The attempt's answer is complete. */
  end(): FilterStep;
  /** Characters of the chunks that it holds back. */
  readonly heldChars: number;
};

export type FilterStep =
  | { kind: 'held' }
  /** Behind the seam. `chunks` may be empty. */
  | { kind: 'passed'; chunks: JsonObject[] }
  | { kind: 'dropped'; reason: SeamFailure };

const rejectAll: SpliceFilter = {
  take: () => dropped('diverged'),
  end: () => dropped('diverged'),
  heldChars: 0,
};

/** `tools`: the request offers tools, and an attempt that continues a text may call them. */
export function createSpliceFilter(
  strategy: ContinuationStrategy,
  delivered: Delivered,
  tools: boolean,
): SpliceFilter {
  // Without a complete record of the delivered answer, new content cannot be distinguished from old.
  if (delivered.other || delivered.toolCall) return rejectAll;
  return strategy === 'replay' ? replayFilter(delivered) : textFilter(strategy, delivered, tools);
}
