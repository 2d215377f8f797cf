import { dropped, held, passed } from './splice.ts';
import type { Seam } from './splice.ts';

/**
 * Replay behind the curtain: the same question was asked again from zero. What arrives is held back
 * while it equals what was shown, and from the first new character on it is shown. At the first
 * difference it is no continuation.
 */
export function replaySeam(delivered: string): Seam {
  let at = 0;
  return {
    push(piece) {
      const repeated = delivered.slice(at, at + piece.length);
      if (!piece.startsWith(repeated)) return dropped('diverged');
      at += repeated.length;
      return at < delivered.length ? held : passed(piece.slice(repeated.length));
    },
    // The end right where the shown text ends is no difference: nothing was left to say.
    end: () => (at === delivered.length ? passed('') : dropped('too_short')),
  };
}
