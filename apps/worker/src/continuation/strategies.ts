import type { AttemptMode } from '@millrace/shared/domain/entry';
import type { Continuation, Prefill } from '@millrace/shared/domain/request';
import { chooseAnchor } from './splice/anchor.ts';
import { isEmpty, plainText } from './delivered.ts';
import type { Delivered } from './delivered.ts';
import type { RequestTraits } from './traits.ts';

/** The ways to continue an answer of which something was delivered. */
export type ContinuationStrategy = Extract<AttemptMode, 'continue' | 'replay' | 'anchor'>;

export type StrategyInput = {
  delivered: Delivered;
  traits: RequestTraits;
  continuation: Continuation;
  /** Whether the target continues a trailing assistant message. */
  prefill: Prefill;
  /** It is the model whose text was delivered so far. */
  sameModel: boolean;
};

/** Characters shown below which asking again costs little and repeats likely. */
const shortAnswerChars = 80;

/**
 * The fallback order: the strategies that may be tried at a target, best first. What was delivered decides which are
 * right at all; the target and the question decide which are likely to work. Computed one by one, because the search
 * for an anchor reads the whole text.
 */
export function* strategiesFor(input: StrategyInput): Generator<ContinuationStrategy, void> {
  const { delivered, traits, continuation, prefill, sameModel } = input;
  if (isEmpty(delivered) || continuation === 'off') return;
  // A delivered tool call may have been carried out already: nothing repeats it.
  if (delivered.toolCall || delivered.other) return;
  const text = plainText(delivered);
  const mayRepeatOnly = traits.json || traits.choices > 1 || traits.endsWithAssistant;
  if (text === undefined || mayRepeatOnly) {
    yield 'replay';
    return;
  }
  // Asked in another way, models answer in prose where a call is due, which an agent takes for the end.
  const mayPrefill = traits.tools
    ? prefill === 'with-tools' && !traits.thinking
    : prefill !== false;
  const mayAnchor = continuation === 'always' || (continuation === 'auto' && !traits.tools);
  if (mayPrefill) yield 'continue';
  // A repetition is tried first where it is likely, and where it is what an agent is served best by.
  const isLikely = traits.tools || traits.repeats || sameModel || text.length < shortAnswerChars;
  if (isLikely) yield 'replay';
  if (mayAnchor && chooseAnchor(text) !== undefined) yield 'anchor';
  if (!isLikely) yield 'replay';
}
