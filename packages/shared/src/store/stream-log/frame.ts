import { formatEntryId, parseEntryId } from '../../domain/entry.ts';
import type { EntryId } from '../../domain/entry.ts';
import type { Frame } from './port.ts';

/**
 * The format of an inbox message: for each write a header `<request id> <prev> <last> <count>` and then its
 * lines. No line has a line break, so one split parses it, and chunks are neither quoted, escaped nor parsed
 * on their way.
 */
export const frameHeader = (id: string, prev: EntryId, last: EntryId, count: number): string =>
  `${id} ${formatEntryId(prev)} ${formatEntryId(last)} ${count}`;

/** Throws on a text that is no inbox message. */
export function parseFrames(message: string): Frame[] {
  const rows = message.split('\n');
  const frames: Frame[] = [];
  for (let at = 0; at < rows.length;) {
    const [id, prevText, lastText, countText] = (rows[at] ?? '').split(' ');
    const prev = parseEntryId(prevText ?? '');
    const last = parseEntryId(lastText ?? '');
    const count = Number(countText);
    if (!id || !prev || !last || !(count > 0) || at + count >= rows.length) {
      throw new Error(`not an inbox message: ${message.slice(0, 80)}`);
    }
    frames.push({ id, prev, last, texts: rows.slice(at + 1, at + 1 + count) });
    at += 1 + count;
  }
  return frames;
}
