import type { JsonObject } from '@millrace/shared/domain/chunk';
import type { Rung } from './strategies.ts';
import { replayCurtain } from './replay-filter.ts';
import { dropped } from './splice/splice.ts';
import type { SeamFailure } from './splice/splice.ts';
import type { Shown } from './delivered.ts';
import { textCurtain } from './text-filter.ts';

/**
 * Stands between a new attempt and readers who were shown a part of the answer already. It takes the
 * attempt's chunks, holds them back until its text has passed the seam, and gives on what is new, as
 * chunks that fit behind those that were shown: no second role, no finish_reason twice.
 */
export type Curtain = {
  /** `size`: characters of the chunk as JSON. */
  take(chunk: unknown, size: number): CurtainStep;
  /** The attempt's answer is complete. */
  end(): CurtainStep;
  /** Characters that it keeps until they may be shown. */
  readonly heldChars: number;
};

export type CurtainStep =
  | { kind: 'held' }
  /** Behind the seam. The chunks may be none. */
  | { kind: 'shown'; chunks: JsonObject[] }
  | { kind: 'dropped'; reason: SeamFailure };

const closed: Curtain = {
  take: () => dropped('diverged'),
  end: () => dropped('diverged'),
  heldChars: 0,
};

/** `tools`: the request offers tools, and an attempt that continues a text may call them. */
export function createCurtain(rung: Rung, shown: Shown, tools: boolean): Curtain {
  // Where it cannot be told what was shown, it cannot be told what is new.
  if (shown.other || shown.toolCall) return closed;
  return rung === 'replay' ? replayCurtain(shown) : textCurtain(rung, shown, tools);
}
