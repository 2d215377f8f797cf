import { agreedCode, isSpace, normalise } from './normalise.ts';
import { replaySeam } from './replay.ts';
import { dropped, held, passed } from './splice.ts';
import type { Seam, SeamStep } from './splice.ts';

/** Characters that may come before the anchor: "Sure, here is the rest:". */
const longestPreamble = 120;

/** If this many characters of a preamble equal the anchor's first ones, that is no coincidence. */
const shortestBeginning = 8;

/**
 * Anchored continuation: the target was sent the interrupted answer and asked to repeat its last words and to
 * continue. The anchor is searched at the very start of the reply, with white space and quotation marks
 * normalised; a short preamble is skipped. New is what follows the anchor, without a quotation mark that only
 * closes the anchor and without white space that was delivered before. An anchor that occurs only after an
 * incomplete copy of itself belongs to a later place, in an answer that repeats itself.
 */
export function anchorSeam(delivered: string, anchor: string): Seam {
  const wanted = normalise(anchor);
  const gap = replaySeam(delivered.slice(delivered.trimEnd().length));
  /** Normalised, and never longer than a preamble and the anchor. */
  let reply = '';
  let wasSpace = false;
  let read: (piece: string) => SeamStep = seek;

  function seek(piece: string): SeamStep {
    for (let at = 0; at < piece.length; at++) {
      const code = agreedCode(piece, at);
      const isMore = isSpace(code) && wasSpace;
      wasSpace = isSpace(code);
      if (isMore) continue;
      reply += String.fromCharCode(code);
      if (reply.length > longestPreamble + wanted.length) return dropped('anchor_missing');
      if (!reply.endsWith(wanted)) continue;
      if (wasBegunBefore(reply, wanted)) return dropped('anchor_missing');
      read = isQuote(reply.at(-wanted.length - 1)) ? unquote : closeGap;
      return read(piece.slice(at + 1));
    }
    return held;
  }

  /** The character after the anchor shows whether the anchor was quoted. */
  function unquote(piece: string): SeamStep {
    if (piece === '') return held;
    const closing = normalise(piece.slice(0, 1));
    read = closeGap;
    return read(closing === reply.at(-wanted.length - 1) ? piece.slice(1) : piece);
  }

  function closeGap(piece: string): SeamStep {
    const step = gap.push(piece);
    if (step.kind !== 'dropped') return step;
    // White space that differs from the delivered one is not new.
    read = skipSpace;
    return read(piece);
  }

  function skipSpace(piece: string): SeamStep {
    const rest = piece.trimStart();
    return rest === '' ? held : passed(rest);
  }

  return {
    push: (piece) => read(piece),
    end: () => (read === seek ? dropped('anchor_missing') : passed('')),
  };
}

/** Whether the text before the anchor is the anchor with a changed letter, and not a preamble. */
function wasBegunBefore(reply: string, wanted: string): boolean {
  const before = reply.slice(0, -wanted.length);
  if (!/[\p{L}\p{N}]/u.test(before)) return false;
  let same = 0;
  for (let at = 0; at < wanted.length; at++) if (reply[at] === wanted[at]) same += 1;
  return same * 2 >= wanted.length || reply.startsWith(wanted.slice(0, shortestBeginning));
}

const isQuote = (char: string | undefined): boolean => char === '"' || char === "'";
