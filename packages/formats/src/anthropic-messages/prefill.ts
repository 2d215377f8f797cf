import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText } from '@millrace/shared/domain/json-text';
import { withoutTrailingSpace } from './parts.ts';
import { RefusedError } from '../refused.ts';

/**
 * Refuses to continue the beginning of an answer where Anthropic accepts this from no model: together
 * with thinking, or with a response format.
 * @throws {RefusedError}
 */
export function refusePrefill(request: Readonly<Record<string, unknown>>): void {
  if (isThinking(request['thinking'])) {
    throw new RefusedError('thinking', 'The beginning of an answer does not go with thinking.');
  }
  for (const name of ['response_format', 'output_config']) {
    if (!hasFormat(request[name])) continue;
    throw new RefusedError(name, 'The beginning of an answer does not go with a format of it.');
  }
}

/**
 * For a request whose last message is the beginning of the answer: the white space at its end, which
 * Anthropic does not accept and the model does not see (`joinPrefilled`).
 */
export function strippedFrom(body: string): string {
  const messages = JSON.parse(memberText(body, 'messages') ?? '[]') as unknown;
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  const content = isJsonObject(last) ? last['content'] : undefined;
  return typeof content === 'string' ? content.slice(withoutTrailingSpace(content).length) : '';
}

/**
 * Joins the model's text to a delivered text whose trailing white space was stripped from the request: the
 * model's leading white space repeats what was stripped. `push` returns the new part of a piece. White space
 * that differs cannot replace the delivered one, so only what exceeds it is new.
 */
export function joinPrefilled(stripped: string): { push(piece: string): string } {
  let pending = '';
  let isOver = stripped === '';
  return {
    push(piece) {
      if (isOver) return piece;
      pending += piece;
      const words = pending.trimStart();
      if (words === '' && pending.length <= stripped.length) return '';
      isOver = true;
      return pending.startsWith(stripped) ? pending.slice(stripped.length) : words;
    },
  };
}

const isThinking = (thinking: unknown): boolean =>
  isJsonObject(thinking) && (thinking['type'] === 'enabled' || thinking['type'] === 'adaptive');

/** OpenAI's member is a format itself, Anthropic's contains one. */
function hasFormat(value: unknown): boolean {
  if (!isJsonObject(value)) return false;
  return isJsonObject(value['format']) || (value['type'] !== undefined && value['type'] !== 'text');
}
