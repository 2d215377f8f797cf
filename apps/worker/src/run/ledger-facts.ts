import { hash } from 'node:crypto';
import { isJsonObject } from '@millrace/shared/domain/json';
import { topLevelMembers } from '@millrace/shared/domain/json-text';
import type { LedgerFacts } from '@millrace/shared/domain/ledger';
import type { History } from '../continuation/history.ts';

/** Characters of a `user` or a session that the ledger keeps. */
const maxUserChars = 256;
/** Characters of a `metadata` that is searched for a session: OpenAI's has at most 16 pairs of 64 and 512. */
const maxMetadataChars = 16 * 1024;

/**
 * The facts of a request that only its run knows, as JSON. `body`: the request, as the client sent it. `at`: when the last
 * lines are sent, with which the facts go; undefined: what was not sent before counts for nothing.
 */
export function ledgerFacts(
  { ledger, rescues, times }: Pick<History, 'ledger' | 'rescues' | 'times'>,
  body: string,
): (at?: number) => string {
  const members = topLevelMembers(body);
  const textOf = (name: string): string | undefined => {
    const span = members.get(name);
    return span && body.slice(span.start, span.end);
  };
  const user: unknown = JSON.parse(textOf('user') ?? 'null');
  const prompt = textOf('messages') ?? textOf('input') ?? textOf('documents');
  const known: LedgerFacts = {
    attempts: ledger,
    user: typeof user === 'string' ? user.slice(0, maxUserChars) : undefined,
    session: sessionOf(textOf('metadata'), textOf('prompt_cache_key')),
    promptHash: prompt === undefined ? undefined : promptHash(prompt),
    rescues,
  };
  return (at) => {
    const { firstAt, maxGapMs } = at === undefined ? times : times.ifSentAt(at);
    const facts: LedgerFacts = { ...known, firstTextAt: firstAt, maxGapMs };
    return JSON.stringify(facts);
  };
}

/** Of a body's members, as text. */
function sessionOf(metadata: string | undefined, cacheKey: string | undefined): string | undefined {
  const isSmall = metadata !== undefined && metadata.length <= maxMetadataChars;
  const fields: unknown = isSmall ? JSON.parse(metadata) : undefined;
  const named = isJsonObject(fields) ? fields['session_id'] : undefined;
  const session: unknown = typeof named === 'string' ? named : JSON.parse(cacheKey ?? 'null');
  return typeof session === 'string' ? session.slice(0, maxUserChars) : undefined;
}

const promptHash = (text: string): string => hash('sha256', text).slice(0, 16);
