import { decodeEntry } from '@millrace/shared/domain/entry';
import type { Failed, Line } from '@millrace/shared/domain/entry';
import { asFailed, refuse } from '../errors.ts';

/** The state of a request that the headers of its answer and the request log show. */
export type Progress = {
  id: string;
  replayed: boolean;
  attempts: number;
  servedBy: string | undefined;
  /** When the first text of a stream was written for this reader, by `performance.now()`. */
  firstTextAt: number | undefined;
};

export const noProgress = (id: string): Progress => {
  return { id, replayed: false, attempts: 0, servedBy: undefined, firstTextAt: undefined };
};

export function noteAttempt(progress: Progress, line: Line): void {
  const entry = decodeEntry(line.text);
  if (entry.kind !== 'attempt') return;
  progress.attempts += 1;
  progress.servedBy = `${entry.data.provider}/${entry.data.model}`;
}

export function progressHeaders({ replayed, attempts, servedBy }: Progress) {
  const headers: Record<string, string> = { 'x-millrace-attempts': String(attempts) };
  if (replayed) headers['idempotent-replayed'] = 'true';
  if (servedBy !== undefined)
    headers['x-millrace-served-by'] = servedBy.replaceAll(/[^\x20-\x7e]/g, '?');
  return headers;
}

/** The failure in a line of kind `failed` or `cancelled`. */
export function readFailed(line: Line): Failed {
  const entry = decodeEntry(line.text);
  return entry.kind === 'failed' ? entry.data : cancelledFailure;
}

const cancelledFailure: Failed = asFailed(refuse('request_cancelled'));
