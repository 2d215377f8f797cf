import type { JsonObject } from '@millrace/shared/domain/json';
import type { ContinuationStrategy } from './strategies.ts';
import { replayFilter } from './replay-filter.ts';
import { dropped } from './splice/splice.ts';
import type { SeamFailure } from './splice/splice.ts';
import type { Delivered } from './delivered.ts';
import { textFilter } from './text-filter.ts';

/**
 * Stands between a new attempt and readers who were shown a part of the answer already. It takes the
 * attempt's chunks, holds them back until its text has passed the seam, and gives on what is new, as
 * chunks that fit behind those that were shown: no second role, no finish_reason twice.
 */
export type SpliceFilter = {
  /** `size`: characters of the chunk as JSON. */
  take(chunk: unknown, size: number): FilterStep;
  /** The attempt's answer is complete. */
  end(): FilterStep;
  /** Characters that it keeps until they may be shown. */
  readonly heldChars: number;
};

export type FilterStep =
  | { kind: 'held' }
  /** Behind the seam. The chunks may be none. */
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
  // If what was delivered is unknown, what is new is unknown, too.
  if (delivered.other || delivered.toolCall) return rejectAll;
  return strategy === 'replay' ? replayFilter(delivered) : textFilter(strategy, delivered, tools);
}
