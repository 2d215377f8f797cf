import { setTimeout as sleep } from 'node:timers/promises';
import type { Bound } from '../../runtime/bounds.ts';
import { shardOf } from '../keys.ts';
import { passesByItself } from '../redis-failure.ts';
import type { AppendOutcome, StreamLog } from './port.ts';

/*
 * The process that wrote a log's end packs the log later, and keeps the list in memory: if it dies, the logs that it has
 * not packed stay as they are until their end of life.
 */

/**
 * Milliseconds after its end until a log is packed: its last readers, and clients that request the complete
 * answer as soon as it exists, read the log unpacked.
 */
const restMs = 3000;
/** Milliseconds between two checks for logs that are due. */
const everyMs = 250;
/** Logs in one script: half a millisecond of Redis. */
const batchSize = 16;
/** Most ended logs that wait to be packed; above that the oldest stay unpacked. */
const maxPending = 50_000;

/** Outcomes of a terminal write that is in the log. */
const isInLog = new Set<AppendOutcome>(['written', 'job_ended', 'duplicate']);

/** `since`: when it ended, or when Redis temporarily refused to pack it, which is retried once. */
type Ended = { readonly id: string; readonly since: number; readonly isRetried: boolean };

export type Packing = {
  /** The log, wrapped to note the logs that end through it. */
  readonly log: StreamLog;
  readonly pending: number;
  readonly bound: Bound;
  stop(): void;
};

/** Packs the logs that end through it, `restMs` later. */
export function packEnded(
  log: StreamLog,
  { onError, now = () => performance.now() }: { onError(error: unknown): void; now?(): number },
): Packing {
  const stopping = new AbortController();
  const { signal } = stopping;
  const pending: Ended[] = [];
  let isRunning = false;

  function keep(ended: Ended): void {
    pending.push(ended);
    if (pending.length > maxPending) pending.shift();
  }

  function note(id: string): void {
    keep({ id, since: now(), isRetried: false });
    if (!isRunning && !signal.aborted) void run();
  }

  function takeDue(): Ended[] {
    const due = now() - restMs;
    const first = pending.findIndex(({ since }) => since > due);
    return pending.splice(0, first === -1 ? pending.length : first);
  }

  async function pack(shard: number, batch: readonly Ended[]): Promise<void> {
    try {
      await log.pack(
        shard,
        batch.map(({ id }) => id),
      );
    } catch (error) {
      onError(error);
      if (!passesByItself(error)) return;
      for (const { id, isRetried } of batch) {
        if (!isRetried) keep({ id, since: now(), isRetried: true });
      }
    }
  }

  /** Runs while logs wait to be packed. One script at a time, so that calls do not pile up at a slow Redis. */
  async function run(): Promise<void> {
    isRunning = true;
    while (pending.length > 0 && !signal.aborted) {
      await sleep(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
      for (const [shard, due] of Map.groupBy(takeDue(), ({ id }) => shardOf(id))) {
        for (let at = 0; at < due.length && !signal.aborted; at += batchSize) {
          await pack(shard, due.slice(at, at + batchSize));
        }
      }
    }
    isRunning = false;
  }

  return {
    log: {
      ...log,
      async append(shard, items, at) {
        const outcomes = await log.append(shard, items, at);
        for (const [i, { id, terminal }] of items.entries()) {
          const outcome = outcomes[i];
          if (terminal && outcome !== undefined && isInLog.has(outcome)) note(id);
        }
        return outcomes;
      },
      async finish(id, ...how) {
        const outcome = await log.finish(id, ...how);
        if (outcome.kind === 'finished') note(id);
        return outcome;
      },
    },
    get pending() {
      return pending.length;
    },
    bound: {
      what: 'logs_to_pack',
      unit: 'entries',
      limit: 'maxPending',
      max: maxPending,
      read: () => pending.length,
    },
    stop: () => stopping.abort(),
  };
}
