import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { deltaOf, hasFinish, hasToolCall } from '@millrace/formats/openai-chat/chunk';
import type { SpliceFilter, FilterStep } from './splice-filter.ts';
import { textIn } from './parts.ts';
import { chooseAnchor } from './splice/anchor.ts';
import { anchorSeam } from './splice/anchored.ts';
import { prefillSeam } from './splice/prefill.ts';
import { dropped, held } from './splice/splice.ts';
import { plainText } from './delivered.ts';
import type { Delivered } from './delivered.ts';

/**
 * Prefill and anchor: one text continues, and if the request offers tools, tool calls may follow it. The new
 * attempt's own reasoning is not delivered. A refusal is not text, nor is a tool call if no tools were
 * offered. An end before the first new word does not count: it does not show that the answer is complete.
 */
export function textFilter(
  strategy: 'continue' | 'anchor',
  delivered: Delivered,
  tools: boolean,
): SpliceFilter {
  const text = plainText(delivered) ?? '';
  const seam =
    strategy === 'continue' ? prefillSeam(text) : anchorSeam(text, chooseAnchor(text) ?? text);
  let isOpen = false;
  /** White space behind the seam, until a word follows it. */
  let pendingSpace = '';
  let hasWords = false;
  let hasEnded = false;

  /** Up to three chunks: one with the text, one with tool calls and one with the end. */
  function chunksOf(chunk: JsonObject, { piece, calls, finish }: NewContent): JsonObject[] {
    const chunks: JsonObject[] = [];
    for (const delta of [piece !== '' && { content: piece }, calls]) {
      if (delta) chunks.push({ ...chunk, choices: [{ index: 0, delta, finish_reason: null }] });
    }
    if (finish) chunks.push({ ...chunk, choices: [endOf(finish)] });
    return chunks;
  }

  /** Passes the attempt's next text, and its end if it has come. */
  function pass(chunk: JsonObject, content: NewContent): FilterStep {
    hasWords ||= content.piece.trim() !== '' || content.calls !== undefined;
    if (!hasWords && !isContentFiltered(content.finish)) {
      pendingSpace += content.piece;
      return content.finish ? dropped('empty') : held;
    }
    const piece = pendingSpace + content.piece;
    pendingSpace = '';
    if (content.finish) hasEnded = true;
    return { kind: 'passed', chunks: chunksOf(chunk, { ...content, piece }) };
  }

  return {
    take(chunk) {
      const choice = firstChoice(chunk);
      if (hasEnded || !choice || !isJsonObject(chunk)) return held;
      const delta = deltaOf(choice) ?? {};
      const calls = hasToolCall(delta) ? callsIn(delta) : undefined;
      if (isRefusal(delta) || (calls && !tools)) return dropped('diverged');
      const piece = contentOf(delta);
      if (piece === undefined) return dropped('diverged');
      const finish = hasFinish(choice) ? choice : undefined;
      if (isOpen) return pass(chunk, { piece, calls, finish });
      let step = piece === '' ? held : seam.push(piece);
      if (step.kind === 'held' && (finish || calls)) step = seam.end();
      if (step.kind !== 'passed') return step;
      isOpen = true;
      return pass(chunk, { piece: step.text, calls, finish });
    },
    end() {
      if (hasEnded || hasWords) return { kind: 'passed', chunks: [] };
      const step = isOpen ? held : seam.end();
      return step.kind === 'dropped' ? step : dropped('empty');
    },
    get heldChars() {
      return pendingSpace.length;
    },
  };
}

const firstChoice = (chunk: unknown): JsonObject | undefined => {
  const choices = isJsonObject(chunk) ? itemsOf(chunk['choices']) : [];
  const choice = choices[0];
  return isJsonObject(choice) ? choice : undefined;
};

/** The text of a delta, also if it is given in parts; undefined if the delta has other content. */
const contentOf = ({ content }: JsonObject): string | undefined => {
  if (Array.isArray(content)) return textIn(content);
  return typeof content === 'string' ? content : '';
};

/** The content of a chunk behind the seam. */
type NewContent = { piece: string; calls: JsonObject | undefined; finish: JsonObject | undefined };

/** A choice's end without its text, including copies in other fields (Together's `text`). */
function endOf({
  text: _text,
  message: _message,
  logprobs: _logprobs,
  ...end
}: JsonObject): JsonObject {
  return { ...end, index: 0, delta: {} };
}

const callsIn = ({ tool_calls, function_call }: JsonObject): JsonObject => ({
  ...(tool_calls !== undefined && { tool_calls }),
  ...(isJsonObject(function_call) && { function_call }),
});

const isRefusal = ({ refusal }: JsonObject): boolean =>
  typeof refusal === 'string' && refusal !== '';

/** A content filter's end is delivered even without a new word: it never makes an answer look complete. */
const isContentFiltered = (finish: JsonObject | undefined): boolean =>
  finish?.['finish_reason'] === 'content_filter';
