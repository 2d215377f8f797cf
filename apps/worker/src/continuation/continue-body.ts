import type { NativeCall } from '@millrace/formats/port';
import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import { tokensIn, tokensInJson } from '@millrace/shared/domain/tokens';
import type { ContinuationStrategy } from './strategies.ts';
import { chooseAnchor } from './splice/anchor.ts';

/** The smallest `max_tokens` of a continuation: providers reject a request for none. */
const fewestTokens = 16;

/**
 * The request body with which a target continues an answer of which `delivered` was delivered. A replay
 * repeats the original request; the other strategies append the answer so far and reduce the token limit by
 * it.
 */
export function continuationBody(
  body: string,
  strategy: ContinuationStrategy,
  delivered: string,
): string {
  if (strategy === 'replay') return body;
  const turns = continuationTurns(strategy, delivered);
  const members: Record<string, string> = {
    messages: append(memberText(body, 'messages') ?? '[]', turns),
  };
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const most = Number(memberText(body, name));
    if (most > 0)
      members[name] = String(Math.max(fewestTokens, most - Math.ceil(tokensIn(delivered))));
  }
  return setMembers(body, members);
}

/** The messages that `continuationBody` appends. */
export function continuationTurns(
  strategy: ContinuationStrategy,
  delivered: string,
): NativeCall['turns'] {
  if (strategy === 'replay') return [];
  const answer = { role: 'assistant', content: delivered } as const;
  if (strategy === 'continue') return [answer];
  return [answer, { role: 'user', content: anchorPrompt(delivered) }];
}

function anchorPrompt(delivered: string): string {
  const anchor = chooseAnchor(delivered) ?? delivered;
  return (
    'Your answer above was cut off by a lost connection. Go on with it. Begin your reply by repeating ' +
    `its last words exactly, word for word:\n\n${anchor}\n\n` +
    'Then continue right behind them, in the same language, style and formatting, as if there had ' +
    'been no interruption. No introduction, no apology, no quotation marks around the repeated words, ' +
    'and nothing from earlier in the answer again.'
  );
}

/** Appends items to the JSON text of an array; the existing text stays byte for byte. */
function append(array: string, items: readonly object[]): string {
  const end = array.lastIndexOf(']');
  const before = array.slice(0, end);
  const isEmpty = before.trimEnd().endsWith('[');
  return `${before}${isEmpty ? '' : ','}${JSON.stringify(items).slice(1, -1)}]`;
}

/** Estimated tokens of the prompt in a request body. */
export const promptTokens = (body: string): number =>
  promptMembers.reduce((sum, name) => sum + tokensInJson(memberText(body, name) ?? ''), 0);

/** The members of a body that models read. */
const promptMembers = [
  'messages',
  'tools',
  'functions',
  'response_format',
  // Of requests that generate no text.
  'input',
  'query',
  'documents',
  'prompt',
  'file',
  'image',
  'image[]',
];
