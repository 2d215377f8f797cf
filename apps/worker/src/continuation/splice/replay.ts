import { dropped, held, passed } from './splice.ts';
import type { Seam } from './splice.ts';

/**
 * Replay: the same question was asked again from zero. Text that equals the delivered text is held back, and from the
 * first new character on the answer is delivered. At the first difference it is no continuation.
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
