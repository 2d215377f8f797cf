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
  /** Whether the target's model made the text delivered so far. */
  sameModel: boolean;
};

/** Below this many delivered characters a replay costs little and a repetition is likely. */
const shortAnswerChars = 80;

/**
 * The fallback order: the strategies that may be tried at a target, best first. The delivered answer decides
 * which are correct; the target and the request decide which are likely to work. A generator, because the
 * search for an anchor reads the whole text.
 */
export function* strategiesFor(input: StrategyInput): Generator<ContinuationStrategy, void> {
  const { delivered, traits, continuation, prefill, sameModel } = input;
  if (isEmpty(delivered) || continuation === 'off') return;
  // The client may have executed a delivered tool call: nothing may repeat it.
  if (delivered.toolCall || delivered.other) return;
  const text = plainText(delivered);
  const mayRepeatOnly = traits.json || traits.choices > 1 || traits.endsWithAssistant;
  if (text === undefined || mayRepeatOnly) {
    yield 'replay';
    return;
  }
  // When asked to continue, models answer in prose instead of a tool call, and an agent takes prose for the
  // end of its task.
  const mayPrefill = traits.tools
    ? prefill === 'with-tools' && !traits.thinking
    : prefill !== false;
  const mayAnchor = continuation === 'always' || (continuation === 'auto' && !traits.tools);
  if (mayPrefill) yield 'continue';
  // A replay comes first if a repetition is likely, or if it serves an agent best.
  const isLikely = traits.tools || traits.repeats || sameModel || text.length < shortAnswerChars;
  if (isLikely) yield 'replay';
  if (mayAnchor && chooseAnchor(text) !== undefined) yield 'anchor';
  if (!isLikely) yield 'replay';
}
