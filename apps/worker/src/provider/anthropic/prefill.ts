import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import { withoutTrailingSpace } from './parts.ts';

export type Prefilled =
  | {
      kind: 'prefilled';
      /** The request, still OpenAI's, with the text as its last message. */
      body: string;
      /** White space at the end of the text, which the model was not shown (`joinPrefilled`). */
      stripped: string;
    }
  /** Anthropic would refuse it, or has nothing to go on from. */
  | { kind: 'impossible'; why: 'nothing_shown' | 'thinking' | 'response_format' };

/**
 * The request to go on right behind `text`, which was shown already. Anthropic takes no beginning of
 * an answer that ends in white space, none together with thinking, and none with a format. Whether
 * the model takes one at all: `canPrefill`.
 */
export function withPrefill(body: string, text: string): Prefilled {
  const kept = withoutTrailingSpace(text);
  if (kept === '') return { kind: 'impossible', why: 'nothing_shown' };
  if (isThinking(memberOf(body, 'thinking'))) return { kind: 'impossible', why: 'thinking' };
  if (hasFormat(body)) return { kind: 'impossible', why: 'response_format' };
  const messages = memberText(body, 'messages') ?? '[]';
  const others = messages.slice(0, -1).trimEnd();
  const message = JSON.stringify({ role: 'assistant', content: kept });
  const separator = others.endsWith('[') ? '' : ',';
  return {
    kind: 'prefilled',
    body: setMembers(body, { messages: `${others}${separator}${message}]` }),
    stripped: text.slice(kept.length),
  };
}

/**
 * Where text that ends in white space was shown and the model goes on from before that: its own white
 * space is what was stripped, said again. Push gives what is new of a piece. White space that differs
 * from what was shown cannot replace it, so only what it has beyond that is new.
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

function hasFormat(body: string): boolean {
  const asked = memberOf(body, 'response_format');
  const own = memberOf(body, 'output_config');
  return (
    (isJsonObject(asked) && asked['type'] !== 'text') ||
    (isJsonObject(own) && isJsonObject(own['format']))
  );
}

function memberOf(body: string, name: string): unknown {
  const text = memberText(body, name);
  return text === undefined ? undefined : (JSON.parse(text) as unknown);
}
