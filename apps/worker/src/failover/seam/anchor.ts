import { normalise } from './normalise.ts';
import { dropped, held, passed } from './seam.ts';
import type { Seam } from './seam.ts';

/** Characters of the anchor, where that is enough to name one place. */
const usualLength = 40;
/** Below this a text has nothing in it that could be found again. */
const shortestText = 24;
/** Above this an anchor is no words to repeat any more but a second answer. */
const longestAnchor = 400;
/** Characters that may come before the anchor: "Sure, here is the rest:". */
const longestPreamble = 120;

/**
 * The last words of what was shown, to be repeated word for word: as few as name one place in it.
 * Undefined when the text is too short, or repeats itself (lists, tables) for longer than can be asked,
 * or all the way.
 */
export function chooseAnchor(shown: string): string | undefined {
  const text = shown.trimEnd();
  if (text.length < shortestText) return undefined;
  const whole = normalise(text).text;
  for (let length = usualLength; ; length += usualLength) {
    const anchor = tail(text, Math.min(length, text.length));
    const wanted = normalise(anchor).text;
    if (whole.indexOf(wanted) === whole.length - wanted.length) {
      return repeatsItself(wanted) ? undefined : anchor;
    }
    if (length >= Math.min(text.length, longestAnchor)) return undefined;
  }
}

/** Nothing but a shorter text again and again: what follows may well be the same once more. */
function repeatsItself(text: string): boolean {
  for (let length = 1; length <= text.length / 2; length++) {
    if (text.startsWith(text.slice(length))) return true;
  }
  return false;
}

/** From the beginning of a word where there is one, and never from the middle of a code point. */
function tail(text: string, length: number): string {
  const cut = text.length - length;
  if (cut === 0) return text;
  const rest = text.slice(cut);
  const space = rest.search(/\s/);
  if (space >= 0 && space < length / 2) return rest.slice(space).trimStart();
  return /[\uDC00-\uDFFF]/.test(rest[0] ?? '') ? text.slice(cut - 1) : rest;
}

/**
 * Anchored continuation: the target was shown the interrupted answer and asked to repeat its last
 * words and go on. The anchor is looked for at the very start of the reply, white space and quotation
 * marks as one; a short preamble is skipped. What follows the anchor is new.
 */
export function anchorSeam(shown: string, anchor: string): Seam {
  const wanted = normalise(anchor).text;
  const spaceAtEnd = shown.slice(shown.trimEnd().length);
  let text = '';

  function look(isWhole: boolean) {
    const reply = normalise(text);
    const at = reply.text.indexOf(wanted);
    if (at < 0) {
      const tooLate = reply.text.length > longestPreamble + wanted.length;
      return isWhole || tooLate ? dropped('anchor_missing') : held;
    }
    if (at > longestPreamble) return dropped('anchor_missing');
    const end = reply.ends[at + wanted.length - 1] ?? 0;
    return cut(text.slice(end), reply.text.slice(0, at), isWhole);
  }

  /** Behind the anchor: a quotation mark that only closed it, and white space that was shown before. */
  function cut(rest: string, before: string, isWhole: boolean) {
    const opening = /["']$/.exec(before)?.[0];
    if (opening !== undefined) {
      // Whether the anchor was quoted is seen by what follows it.
      if (rest === '' && !isWhole) return held;
      if (normalise(rest.slice(0, 1)).text === opening) rest = rest.slice(1);
    }
    if (spaceAtEnd === '') return passed(rest);
    if (rest.trimStart() === '' && !isWhole) return held;
    return passed(rest.startsWith(spaceAtEnd) ? rest.slice(spaceAtEnd.length) : rest.trimStart());
  }

  return {
    push(piece) {
      text += piece;
      return look(false);
    },
    end: () => look(true),
  };
}
