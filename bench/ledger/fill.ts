import type { Kysely } from 'kysely';
import type { Database } from '../../apps/admin/src/database/schema.ts';
import { storeEntries } from '../../apps/admin/src/ledger/store.ts';
import type { LedgerEntry } from '../../packages/shared/src/domain/ledger.ts';

export const dayMs = 86_400_000;
const days = 30;
/** Entries of one transaction, as in the consumer. */
const batchSize = 500;

export type FillOptions = {
  rows: number;
  /** When the newest request was created (ms since the epoch); the oldest is 30 days older. */
  newest: number;
  signal: AbortSignal;
  onProgress(text: string): void;
};

/** Fills a ledger as the control plane does. */
export async function fillLedger(
  database: Kysely<Database>,
  { rows, newest, signal, onProgress }: FillOptions,
): Promise<void> {
  for (let stored = 0; stored < rows; stored += batchSize) {
    signal.throwIfAborted();
    onProgress(`ledger: ${stored} of ${rows} requests`);
    const entries = Array.from({ length: batchSize }, (_, i) => entryOf(stored + i, rows, newest));
    await storeEntries(database, entries, (_target, { input, output }) => input + output);
  }
}

/** One request of 30 days: 20 keys, 1,000 users, 5 models, one failure in 50. */
function entryOf(i: number, rows: number, newest: number): LedgerEntry {
  const createdAt = Math.round(newest - days * dayMs * (1 - i / rows));
  const id = `req_0_${createdAt.toString(36).padStart(9, '0')}${String(i).padStart(24, '0')}`;
  const hasFailed = i % 50 === 0;
  const usage = { prompt_tokens: 900 + (i % 200), completion_tokens: 100 + (i % 300) };
  const started = {
    run: 1,
    attempt: 1,
    provider: 'openai',
    model: 'gpt-4o',
    mode: 'start',
  } as const;
  const ended = { run: 1, attempt: 1, at: createdAt + 900, firstTokenAt: createdAt + 200 };
  const at = createdAt + 901;
  return {
    id,
    run: 1,
    meta: {
      id,
      keyId: `team-${i % 20}`,
      endpoint: '/v1/chat/completions',
      model: `model-${i % 5}`,
      stream: true,
      reader: 'plain',
      includeUsage: false,
      attached: true,
      createdAt,
    },
    end: hasFailed
      ? {
          kind: 'failed',
          data: {
            error: { message: 'Too many.', type: 'server_error', param: null, code: 'overloaded' },
            httpStatus: 503,
            at,
          },
        }
      : { kind: 'done', data: { finishReason: 'stop', attempts: 1, at } },
    facts: {
      attempts: [
        {
          started: { ...started, at: createdAt + 10 },
          ended: { ...ended, outcome: hasFailed ? 'overloaded' : 'completed', usage },
        },
      ],
      user: `user-${i % 1000}`,
      firstTextAt: createdAt + 200,
      rescues: i % 100 === 0 ? 1 : 0,
    },
  };
}
