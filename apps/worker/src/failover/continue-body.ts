import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText, setMembers } from '@millrace/shared/domain/json-text';
import type { Rung } from './ladder.ts';
import type { Shown } from './shown.ts';
import { chooseAnchor } from './seam/anchor.ts';

/** Characters that make a token, about, in most languages and tokenizers. */
const charsPerToken = 4;
/** Tokens that are asked for at least: a request for none is refused. */
const fewestTokens = 16;

export const estimateTokens = (chars: number): number => Math.ceil(chars / charsPerToken);

/**
 * The request that makes a target go on with an answer of which `shown` was shown. A replay asks the
 * same again; the others get the conversation with the answer so far, and less room for the rest.
 */
export function continueBody(body: string, rung: Rung, shown: string): string {
  if (rung === 'replay') return body;
  const turns: object[] = [{ role: 'assistant', content: shown }];
  if (rung === 'anchor') turns.push({ role: 'user', content: anchorPrompt(shown) });
  const members: Record<string, string> = {
    messages: append(memberText(body, 'messages') ?? '[]', turns),
  };
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const most = Number(memberText(body, name));
    if (most > 0)
      members[name] = String(Math.max(fewestTokens, most - estimateTokens(shown.length)));
  }
  return setMembers(body, members);
}

function anchorPrompt(shown: string): string {
  const anchor = chooseAnchor(shown) ?? shown;
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

/**
 * The usage that a client is told: the original prompt and the visible answer, once. A continuation
 * counts what was shown as prompt, where it was answer.
 */
export function usageOverSeam(usage: unknown, rung: Rung | undefined, shown: string): unknown {
  if (!isJsonObject(usage) || rung === undefined || rung === 'replay') return usage;
  const moved =
    estimateTokens(shown.length) +
    (rung === 'anchor' ? estimateTokens(anchorPrompt(shown).length) : 0);
  const prompt = count(usage['prompt_tokens']);
  // The repeated words were shown before.
  const repeated = rung === 'anchor' ? estimateTokens((chooseAnchor(shown) ?? shown).length) : 0;
  const completion = Math.max(0, count(usage['completion_tokens']) - repeated);
  const promptTokens = Math.max(1, prompt - moved);
  const completionTokens = completion + estimateTokens(shown.length);
  return {
    ...usage,
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

/**
 * The usage of an answer of which the worker died before it could tell: counted from the request's
 * messages and from what was shown. `body` is the caller's own.
 */
export function estimateUsage(body: string, { chars }: Shown): Record<string, number> {
  const prompt = estimateTokens(memberText(body, 'messages')?.length ?? 0);
  const completion = estimateTokens(chars);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  };
}

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
