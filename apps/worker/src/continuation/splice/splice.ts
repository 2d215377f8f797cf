/**
 * The seam: where one attempt's text ends and the next one's begins. A seam takes the text of a new
 * attempt as it comes and says what of it continues what the reader was shown, character by
 * character: nothing is shown twice, nothing is left out, and what does not continue is never shown.
 */
export type Seam = {
  /** The next piece of the attempt's text. After `passed` every piece is new as it is. */
  push(piece: string): SeamStep;
  /** The attempt's text is over, and complete in itself. */
  end(): SeamStep;
};

export type SeamStep =
  /** Not decided yet, or a repetition of what was shown. */
  | { kind: 'held' }
  /** Behind the seam: this text is new. It may be empty, when the text was exactly what was shown. */
  | { kind: 'passed'; text: string }
  /** This is no continuation. */
  | { kind: 'dropped'; reason: SeamFailure };

export type SeamFailure =
  /** The new answer differs from the one that was shown. */
  | 'diverged'
  /** It ended before it had repeated what was shown. */
  | 'too_short'
  /** The words that were to be repeated did not come. */
  | 'anchor_missing'
  /** It ended without a new word, and nothing tells whether the answer was whole. */
  | 'empty';

export const held = { kind: 'held' } as const;
export const passed = (text: string) => ({ kind: 'passed', text }) as const;
export const dropped = (reason: SeamFailure) => ({ kind: 'dropped', reason }) as const;
