import { parseShallow } from '@millrace/shared/domain/json';
import { plainContent } from '@millrace/formats/openai-chat/chunk';
import { contentIn, templateOf } from '@millrace/formats/openai-chat/chunk-template';
import type { ChunkTemplate } from '@millrace/formats/openai-chat/chunk-template';
import { isChunkLine } from '@millrace/shared/domain/entry';
import { applyEntry, applyLine, applyText } from './history.ts';
import type { History } from './history.ts';

/**
 * Builds a history from the lines of a log, in order. The successor of a dead worker may have to read a
 * hundred logs before any of their readers gets its next word, so chunks that differ from the previous one
 * only in their text are not parsed.
 */
export function createHistoryReader(history: History): (line: string) => void {
  let template: ChunkTemplate | undefined;
  return (line) => {
    if (!isChunkLine(line)) {
      // The line may change the source or the delivered answer.
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
