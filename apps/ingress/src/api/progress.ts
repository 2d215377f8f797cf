import { decodeEntry } from '@millrace/shared/domain/entry';
import type { Failed, Line } from '@millrace/shared/domain/entry';
import { addAttempt, noUsage } from '@millrace/shared/cost/usage-totals';
import type { UsageTotals, UsedAttempt } from '@millrace/shared/cost/usage-totals';
import type { Prices } from '@millrace/shared/cost/prices';
import { asFailed, refuse } from '../errors.ts';

/** The state of a request that the headers of its answer and the request log show. */
export type Progress = {
  id: string;
  replayed: boolean;
  attempts: number;
  servedBy: string | undefined;
  /** When the first text of a stream was written for this reader, by `performance.now()`. */
  firstTextAt: number | undefined;
  /** Of the attempts that have ended. */
  usage: UsageTotals;
  /** Attempts that have not ended, by number. */
  open: Map<number, UsedAttempt>;
};

export const noProgress = (id: string): Progress => ({
  id,
  replayed: false,
  attempts: 0,
  servedBy: undefined,
  firstTextAt: undefined,
  usage: noUsage(),
  open: new Map(),
});

/** Decides by the first letter, for the hot path. */
export const isAttemptLine = ({ text }: Line): boolean => text[0] === 'a' || text[0] === 'e';

/** Notes the start or the end of an attempt. */
export function noteAttempt(progress: Progress, line: Line, prices: () => Prices): void {
  const entry = decodeEntry(line.text);
  if (entry.kind === 'attempt') {
    const { attempt, provider, model, at } = entry.data;
    progress.attempts += 1;
    progress.servedBy = `${provider}/${model}`;
    progress.open.set(attempt, { provider, model, at });
  } else if (entry.kind === 'attempt_end') {
    const { attempt, usage } = entry.data;
    const started = progress.open.get(attempt);
    if (started) addAttempt(progress.usage, { ...started, usage }, prices());
    progress.open.delete(attempt);
  }
}

export function progressHeaders({ replayed, attempts, servedBy }: Progress) {
  const headers: Record<string, string> = { 'x-millrace-attempts': String(attempts) };
  if (replayed) headers['idempotent-replayed'] = 'true';
  if (servedBy !== undefined)
    headers['x-millrace-served-by'] = servedBy.replaceAll(/[^\x20-\x7e]/g, '?');
  return headers;
}

/** When the answer was complete (milliseconds since the epoch), from its line of kind `done`. */
export function completedAt(line: Line): number {
  const entry = decodeEntry(line.text);
  return entry.kind === 'done' ? entry.data.at : Date.now();
}

/** The failure in a line of kind `failed` or `cancelled`. */
export function readFailed(line: Line): Failed {
  const entry = decodeEntry(line.text);
  return entry.kind === 'failed' ? entry.data : cancelledFailure;
}

const cancelledFailure: Failed = asFailed(refuse('request_cancelled'));
