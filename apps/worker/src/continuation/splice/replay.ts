import { dropped, held, passed } from './splice.ts';
import type { Seam } from './splice.ts';

/**
 * Replay: the original request was sent again. Text that equals the delivered text is held back, and what
 * follows it is delivered. The first difference ends the attempt.
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
    // An end exactly at the end of the delivered text is valid: the answer was complete.
    end: () => (at === delivered.length ? passed('') : dropped('too_short')),
  };
}
