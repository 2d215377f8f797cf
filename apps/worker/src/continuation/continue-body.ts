import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import { tokensIn, tokensInJson } from '@millrace/shared/domain/tokens';
import type { ContinuationStrategy } from './strategies.ts';
import { chooseAnchor } from './splice/anchor.ts';

/** Tokens that are asked for at least: a request for none is refused. */
const fewestTokens = 16;

/**
 * The request that makes a target go on with an answer of which `shown` was shown. A replay asks the
 * same again; the others get the conversation with the answer so far, and less room for the rest.
 */
export function continuationBody(
  body: string,
  strategy: ContinuationStrategy,
  delivered: string,
): string {
  if (strategy === 'replay') return body;
  const turns: object[] = [{ role: 'assistant', content: delivered }];
  if (strategy === 'anchor') turns.push({ role: 'user', content: anchorPrompt(delivered) });
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

/** The array's text with more items; what is in it stays byte for byte. */
function append(array: string, items: readonly object[]): string {
  const end = array.lastIndexOf(']');
  const before = array.slice(0, end);
  const isEmpty = before.trimEnd().endsWith('[');
  return `${before}${isEmpty ? '' : ','}${JSON.stringify(items).slice(1, -1)}]`;
}

/** Estimated tokens of the prompt that a request body is. */
export const promptTokens = (body: string): number =>
  promptMembers.reduce((sum, name) => sum + tokensInJson(memberText(body, name) ?? ''), 0);

/** The members of a body that models read. */
const promptMembers = ['messages', 'tools', 'functions', 'response_format'];
