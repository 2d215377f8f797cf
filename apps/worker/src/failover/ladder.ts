import type { AttemptMode } from '@millrace/shared/domain/entry';
import { chooseAnchor } from './seam/anchor.ts';
import { isNothing, plainText } from './shown.ts';
import type { Shown } from './shown.ts';
import type { RequestTraits } from './traits.ts';

/** The rungs that go on with an answer of which something was shown. */
export type Rung = Extract<AttemptMode, 'continue' | 'replay' | 'anchor'>;

export type Continuation = 'auto' | 'strict' | 'off';

export type LadderInput = {
  shown: Shown;
  traits: RequestTraits;
  continuation: Continuation;
  /** The target goes on with a trailing assistant message. */
  prefill: boolean;
  /** It is the model that spoke so far. */
  sameModel: boolean;
};

/** Characters shown below which asking again costs little and repeats likely. */
const littleShown = 80;

/**
 * The rungs that may be tried at a target, best first. What was shown decides what is right at all;
 * the target and the question decide what is likely to work.
 */
export function rungsFor(input: LadderInput): Rung[] {
  const { shown, traits, continuation, prefill, sameModel } = input;
  if (isNothing(shown) || continuation === 'off') return [];
  // A delivered tool call may have been carried out already: no second life for it.
  if (shown.toolCall || shown.other) return [];
  const text = plainText(shown);
  if (text === undefined || traits.tools || traits.json || traits.choices > 1) return ['replay'];
  if (traits.endsWithAssistant) return ['replay'];

  const anchor: Rung[] =
    continuation === 'auto' && chooseAnchor(text) !== undefined ? ['anchor'] : [];
  const likely = traits.repeats || sameModel || text.length < littleShown;
  const rest: Rung[] = likely ? ['replay', ...anchor] : [...anchor, 'replay'];
  return prefill ? ['continue', ...rest] : rest;
}
