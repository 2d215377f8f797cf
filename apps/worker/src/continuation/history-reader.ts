import { parseShallow } from '@millrace/shared/domain/json';
import { plainContent } from '@millrace/formats/openai-chat/chunk';
import { contentIn, templateOf } from '@millrace/formats/openai-chat/chunk-template';
import type { ChunkTemplate } from '@millrace/formats/openai-chat/chunk-template';
import { isChunkLine } from '@millrace/shared/domain/entry';
import { applyEntry, applyLine, applyText } from './history.ts';
import type { History } from './history.ts';

/**
 * Takes the lines of a log in order and makes the history of them. Where a dead worker had a hundred
 * streams, another one reads a hundred logs before the first reader gets its next word: chunks that
 * differ from the one before only in their text are not parsed.
 */
export function createHistoryReader(history: History): (line: string) => void {
  let template: ChunkTemplate | undefined;
  return (line) => {
    if (!isChunkLine(line)) {
      // Who speaks may change, or what was shown.
      template = undefined;
      applyLine(history, line);
      return;
    }
    const text = line.slice(1);
    const content = template && contentIn(template, text);
    if (content !== undefined) {
      applyText(history, content);
      return;
    }
    applyEntry(history, { kind: 'chunk', text });
    template = plainContent(parseShallow(text)) === undefined ? undefined : templateOf(text);
  };
}
