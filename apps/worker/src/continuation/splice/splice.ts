/**
 * The seam: where the text of one attempt ends and that of the next begins. A seam takes the text of a new
 * attempt piece by piece and separates what continues the delivered text. Nothing is delivered twice, nothing
 * is left out, and what does not continue the text is never delivered.
 */
export type Seam = {
  /** Takes the next piece of the attempt's text. After `passed` every further piece is new. */
  push(piece: string): SeamStep;
  /** The attempt's text has ended in order. */
  end(): SeamStep;
};

export type SeamStep =
  /** Undecided, or a repetition of delivered text. */
  | { kind: 'held' }
  /** Behind the seam: this text is new. It is empty if the text so far equals the delivered text. */
  | { kind: 'passed'; text: string }
  /** The text does not continue the delivered one. */
  | { kind: 'dropped'; reason: SeamFailure };

export type SeamFailure =
  /** The new answer differs from the delivered one. */
  | 'diverged'
  /** It ended before it had repeated the delivered text. */
  | 'too_short'
  /** The anchor was not found. */
  | 'anchor_missing'
  /** It ended without a new word, so it is unclear whether the answer was complete. */
  | 'empty';

export const held = { kind: 'held' } as const;
export const passed = (text: string) => ({ kind: 'passed', text }) as const;
export const dropped = (reason: SeamFailure) => ({ kind: 'dropped', reason }) as const;
