import { replaySeam } from './replay.ts';
import { dropped, held, passed } from './splice.ts';
import type { Seam, SeamStep } from './splice.ts';

/** Characters that distinguish an answer that begins anew from one that continues. */
const tellingLength = 24;

/**
 * Native continuation: the target was sent the delivered text as the beginning of its own message and
 * continues right behind it. Some models begin their answer anew nevertheless, so a text that equals the
 * beginning of the delivered text is held; once it is too long for a coincidence, it counts as a replay of
 * the whole. If the beginning is short, or occurs again in the text, neither is certain: the attempt is
 * dropped, and the next strategy is unambiguous.
 */
export function prefillSeam(delivered: string): Seam {
  const telling = delivered.slice(0, tellingLength);
  const isTelling = telling.length === tellingLength && !delivered.includes(telling, 1);
  let text = '';
  let replay: Seam | undefined;

  function begin(): SeamStep {
    if (!text.startsWith(telling)) return passed(text);
    if (!isTelling) return dropped('diverged');
    replay = replaySeam(delivered);
    return replay.push(text);
  }

  return {
    push(piece) {
      if (replay) return replay.push(piece);
      text += piece;
      if (text.length >= telling.length) return begin();
      return telling.startsWith(text) ? held : passed(text);
    },
    end() {
      if (replay) return replay.end();
      // The held text is either empty, or an answer that began anew and ended early.
      return text === '' ? passed('') : dropped('too_short');
    },
  };
}
