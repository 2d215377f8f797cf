import { formatEntryId } from '../../domain/entry.ts';
import { maxLedgerBacklog } from '../../domain/ledger.ts';
import { maxWebhookBacklog } from '../../domain/webhook.ts';
import type { Keyspace } from '../keys.ts';
import { keptEvents, keptJobs } from '../queue/job-retention.ts';
import { frameHeader } from './frame.ts';
import type { AppendItem, AppendOutcome } from './port.ts';

type Call = { keys: string[]; args: (string | number)[] };
type CallOptions = { keys: Keyspace; shard: number; retentionMs: number; now: number };

/** Sorts items as lua/append.lua needs them: those that end their logs after the others. */
export function endsLast(items: readonly AppendItem[]): readonly AppendItem[] {
  let hasEnded = false;
  for (const { terminal } of items) {
    if (terminal !== undefined) hasEnded = true;
    else if (hasEnded) return items.toSorted(byEnd);
  }
  return items;
}

const byEnd = (one: AppendItem, other: AppendItem): number =>
  Number(one.terminal !== undefined) - Number(other.terminal !== undefined);

/** KEYS and ARGV of lua/append.lua, for items in the order that it needs. */
export function appendCall(items: readonly AppendItem[], options: CallOptions): Call {
  const { keys, shard, retentionMs, now } = options;
  const touched: string[] = [];
  const bodies: string[] = [];
  const args: (string | number)[] = [keys.tag(shard), retentionMs, 0, now];
  for (const { id, nonce, prev, last, lines, entries, terminal, job, facts } of items) {
    touched.push(keys.request(id), keys.log(id));
    const header = frameHeader(id, prev, last, lines.length);
    const text = lines.length === 1 ? (lines[0] ?? '') : lines.join('\n');
    args.push(nonce, formatEntryId(last), header, text, entries);
    if (terminal === undefined) continue;
    args.push(terminal, id);
    args.push(job?.token ?? '', job?.set ?? '', job?.value ?? '', job?.trace ?? '');
    // An item without facts has no ledger entry.
    args.push(facts === undefined ? '' : (lines.at(-1) ?? ''), facts?.(now) ?? '');
    bodies.push(keys.body(id));
  }
  args[2] = items.length - bodies.length;
  if (bodies.length > 0) {
    args.push(maxWebhookBacklog, maxLedgerBacklog, keys.queue(shard), now, keptJobs, keptEvents);
  }
  return { keys: [...touched, ...bodies], args };
}

const statuses: Record<number, AppendOutcome> = {
  2: 'job_ended',
  1: 'written',
  0: 'duplicate',
  [-1]: 'gone',
  [-2]: 'fenced',
  [-3]: 'ended',
  [-4]: 'lost',
  [-5]: 'damaged',
};

export const appendOutcome = (status: number): AppendOutcome => statuses[status] ?? 'gone';
