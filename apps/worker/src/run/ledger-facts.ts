import { hash } from 'node:crypto';
import { topLevelMembers } from '@millrace/shared/domain/json-text';
import type { LedgerFacts } from '@millrace/shared/domain/ledger';
import type { History } from '../continuation/history.ts';

/** Characters of a `user` that the ledger keeps. */
const maxUserChars = 256;

/** The facts of a request that only its run knows, as JSON. `body`: the request, as the client sent it. */
export function ledgerFacts(
  { ledger, rescues, times }: Pick<History, 'ledger' | 'rescues' | 'times'>,
  body: string,
): string {
  const members = topLevelMembers(body);
  const textOf = (name: string): string | undefined => {
    const span = members.get(name);
    return span && body.slice(span.start, span.end);
  };
  const user: unknown = JSON.parse(textOf('user') ?? 'null');
  const messages = textOf('messages');
  const facts: LedgerFacts = {
    attempts: ledger,
    user: typeof user === 'string' ? user.slice(0, maxUserChars) : undefined,
    promptHash: messages === undefined ? undefined : promptHash(messages),
    firstTextAt: times?.firstAt,
    rescues,
    maxGapMs: times?.maxGapMs,
  };
  return JSON.stringify(facts);
}

const promptHash = (text: string): string => hash('sha256', text).slice(0, 16);
