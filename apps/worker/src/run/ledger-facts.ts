import { createHash } from 'node:crypto';
import { topLevelMembers } from '@millrace/shared/domain/json-text';
import type { LedgerAttempt, LedgerFacts } from '@millrace/shared/domain/ledger';
import type { History } from '../continuation/history.ts';

/** Characters of a `user` that the ledger keeps. */
const maxUserChars = 256;

/** What the ledger keeps of a request that its run knows, as JSON. `body`: the request, as the client sent it. */
export function ledgerFacts({ ledger }: Pick<History, 'ledger'>, body: string): string {
  const members = topLevelMembers(body);
  const textOf = (name: string): string | undefined => {
    const span = members.get(name);
    return span && body.slice(span.start, span.end);
  };
  const user: unknown = JSON.parse(textOf('user') ?? 'null');
  const messages = textOf('messages');
  const rescues = ledger.filter(isRescue);
  const facts: LedgerFacts = {
    attempts: ledger,
    user: typeof user === 'string' ? user.slice(0, maxUserChars) : undefined,
    promptHash: messages === undefined ? undefined : hash(messages),
    ...(rescues.length > 0 && { rescues: rescues.length, maxGapMs: maxGap(ledger) }),
  };
  return JSON.stringify(facts);
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** It continued an answer of which a part had been delivered, and its text was shown. */
const isRescue = ({ started, ended }: LedgerAttempt): boolean =>
  started.mode !== 'start' && ended?.firstTokenAt !== undefined;

/** From the end of the attempt before, as far as the log knows it, to the first token of the rescue. */
function maxGap(ledger: readonly LedgerAttempt[]): number {
  let most = 0;
  ledger.forEach((one, i) => {
    const before = ledger[i - 1]?.ended?.at;
    if (!isRescue(one) || before === undefined) return;
    most = Math.max(most, (one.ended?.firstTokenAt ?? before) - before);
  });
  return most;
}
