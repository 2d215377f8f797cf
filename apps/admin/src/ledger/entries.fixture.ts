import type { AttemptEnded, AttemptStarted, Terminal } from '@millrace/shared/domain/entry';
import type { LedgerAttempt, LedgerEntry, LedgerFacts } from '@millrace/shared/domain/ledger';
import type { RequestMeta } from '@millrace/shared/domain/request';

/** The morning of a day, in milliseconds since the epoch. */
export const morning = Date.UTC(2026, 10, 30, 8);

type Usage = { prompt_tokens: number; completion_tokens: number };

export const tokens = (prompt: number, completion: number): Usage => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
});

export function attemptOf(
  attempt: number,
  end: Partial<AttemptEnded> = {},
  start: Partial<AttemptStarted> = {},
): LedgerAttempt {
  const at = start.at ?? morning + 100;
  return {
    started: { run: 1, attempt, provider: 'own', model: 'm', mode: 'start', ...start, at },
    ended: { run: 1, attempt, at: at + 1000, outcome: 'completed', usage: tokens(10, 20), ...end },
  };
}

type Options = {
  meta?: Partial<RequestMeta>;
  end?: Terminal | undefined;
  facts?: LedgerFacts | undefined;
  run?: number;
};

/** A request that was answered by its first attempt, unless the options say otherwise. */
export function entryOf(id: string, options: Options = {}): LedgerEntry {
  const createdAt = options.meta?.createdAt ?? morning;
  const start = { at: createdAt + 100 };
  return {
    id,
    meta: {
      id,
      keyId: 'team',
      endpoint: '/v1/chat/completions',
      model: 'alias',
      stream: true,
      reader: 'plain',
      includeUsage: false,
      attached: true,
      createdAt,
      ...options.meta,
    },
    end: 'end' in options ? options.end : done(createdAt + 1200),
    run: options.run ?? 1,
    facts: 'facts' in options ? options.facts : { attempts: [attemptOf(1, {}, start)] },
  };
}

export const done = (at: number): Terminal => ({
  kind: 'done',
  data: { finishReason: 'stop', attempts: 1, at },
});
export const cancelled = (at: number): Terminal => ({
  kind: 'cancelled',
  data: { reason: 'the client went away', at },
});
export const failed = (at: number): Terminal => ({
  kind: 'failed',
  data: {
    error: { message: 'No target answers.', type: 'server_error', param: null, code: 'no_target' },
    httpStatus: 503,
    at,
  },
});
