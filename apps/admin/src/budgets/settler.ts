import { parseRequestId } from '@millrace/shared/domain/request';
import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { Budgets } from '@millrace/shared/store/budgets/port';
import { isLater } from '@millrace/shared/store/ledger/waiting';
import type { WaitingEntries } from '@millrace/shared/store/ledger/waiting';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import type { LedgerDatabase } from '../database/open.ts';
import { pause } from '../pause.ts';
import { firstCounted, spentBy, storedOf } from './spending.ts';

export type SettlerOptions = {
  budgets: Omit<Budgets, 'reserve' | 'release' | 'read'>;
  database: LedgerDatabase;
  /** Resolves when the tables are there. Rejects while the database is away. */
  ready(): Promise<void>;
  /** The ids of all keys that have a budget now. */
  budgeted(): Promise<ReadonlySet<string>>;
  log: Pick<StreamLog, 'describe'>;
  /** The ledger entries of a shard that the database does not have yet. */
  waiting(shard: number): Promise<WaitingEntries>;
  /** Why entries are not stored at the moment; undefined: all are. */
  problem(): string | undefined;
  onError(error: unknown): void;
  reviewMs?: number;
  graceMs?: number;
};

/** Keeps the counters of all budgets as the ledger has them. */
export type Settler = {
  /** The database has these entries. */
  stored(entries: readonly LedgerEntry[]): void;
  /** Writes the counters of a key that gets a budget. Rejects while the database or Redis is away. */
  refresh(keyId: string): Promise<void>;
  /** The keys of the config have changed. */
  changed(): void;
  /** Requests that were created from this time on (milliseconds since the epoch) are counted, so their rows have to stay. */
  countsFrom(): number;
  stop(): Promise<void>;
};

/** Milliseconds between two reviews of all counters. */
const defaultReviewMs = 10_000;
/** Milliseconds for which a request may have a reservation and not be in Redis: longer than an ingress takes to create it. */
const defaultGraceMs = 15_000;
/** Milliseconds after its last request for which a shared reservation counts. */
const sharedMs = 3_600_000;
/**
 * Pause after stored requests were settled, in multiples of the time that it took: reading a long month takes CPU. Not longer
 * than between two reviews.
 */
const restFactor = 9;
/** Requests of one key that a review looks up in Redis. */
const maxLooks = 500;
/** Times that a key is settled when another control plane settles it at the same time. */
const maxTries = 3;

export function startSettler(options: SettlerOptions): Settler {
  const { budgets, database, ready, budgeted, log, waiting, problem, onError } = options;
  const { reviewMs = defaultReviewMs, graceMs = defaultGraceMs } = options;
  const stopping = new AbortController();
  let sleep = new AbortController();
  let budgetedIds: ReadonlySet<string> = new Set();
  /** Requests that the database has, by key. */
  let pending = new Map<string, Set<string>>();
  /** By key and request: the newest ledger entry that waited when the request was found to be over. */
  const suspects = new Map<string, Map<string, string>>();
  /** Keys that could not be settled when that was last tried. */
  const failing = new Set<string>();
  /** Whether a key that began to fail in this round was reported. */
  let isReported = false;
  let reviewAt = 0;
  let settleAt = 0;
  let rounds = 0;
  let isReviewFailing = false;

  const wake = (): void => sleep.abort();

  /** Reservations end in one step with the sum that has their requests. */
  async function settle(keyId: string, endedOf: () => Promise<readonly string[]>): Promise<void> {
    for (let tries = 0; tries < maxTries; tries++) {
      const reading = await budgets.beginSettling(keyId);
      const ended = await endedOf();
      const spent = await spentBy(database, keyId, Date.now());
      if (await budgets.settle(keyId, { ...reading, spent, ended })) return;
    }
  }

  /** Never rejects: a key that cannot be settled does not hold up the others. The next review tries it again. */
  async function trySettling(
    keyId: string,
    endedOf: () => Promise<readonly string[]>,
  ): Promise<void> {
    try {
      await settle(keyId, endedOf);
      failing.delete(keyId);
    } catch (error) {
      // One line for an outage, not one for each key.
      if (!failing.has(keyId) && !isReported && problem() === undefined) {
        isReported = true;
        onError(new Error(`the budget of key '${keyId}' cannot be settled`, { cause: error }));
      }
      failing.add(keyId);
    }
  }

  async function settlePending(): Promise<void> {
    const due = pending;
    pending = new Map();
    for (const [keyId, ids] of due) {
      await trySettling(keyId, async () => {
        const stored = await storedOf(database, [...ids]);
        return [...ids].filter((id) => stored.get(id)?.incomplete === false);
      });
    }
  }

  async function settleDue(): Promise<void> {
    const began = performance.now();
    if (pending.size === 0 || began < settleAt) return;
    await settlePending();
    const tookMs = performance.now() - began;
    settleAt = performance.now() + Math.min(tookMs * restFactor, reviewMs);
  }

  /** All keys: entries of another control plane, data that Redis has lost, and requests that never reach the ledger. */
  async function review(): Promise<void> {
    await ready();
    const now = await budgeted();
    const former = [...budgetedIds].filter((id) => !now.has(id));
    budgetedIds = new Set([...now, ...former]);
    for (const keyId of suspects.keys()) if (!budgetedIds.has(keyId)) suspects.delete(keyId);
    for (const keyId of failing) if (!budgetedIds.has(keyId)) failing.delete(keyId);
    for (const keyId of budgetedIds) {
      if (stopping.signal.aborted) return;
      // Requests that end meanwhile do not wait for the last key.
      await settleDue();
      await trySettling(keyId, () => overOf(keyId));
    }
    for (const keyId of former) if (!failing.has(keyId)) await forget(keyId);
    rounds += 1;
  }

  /** A key that has no budget any more: its last requests may still be under way. */
  async function forget(keyId: string): Promise<void> {
    const { reservations } = await budgets.reservations(keyId);
    if (reservations.length > 0) return;
    budgetedIds = new Set([...budgetedIds].filter((id) => id !== keyId));
  }

  /** Reservations of requests that the ledger has, or will never have. */
  async function overOf(keyId: string): Promise<string[]> {
    const { now, reservations } = await budgets.reservations(keyId);
    const own = reservations.filter(({ isShared }) => !isShared);
    const shared = reservations.filter(({ isShared, at }) => isShared && at < now - sharedMs);
    const stored = await storedOf(
      database,
      own.map(({ id }) => id),
    );
    const over = own.filter(({ id }) => stored.get(id)?.incomplete === false);
    const old = own.filter(
      ({ id, at }) => at < now - graceMs && stored.get(id)?.incomplete !== false,
    );
    const lost = await lostOf(
      keyId,
      old.map(({ id }) => ({ id, isIncomplete: stored.has(id) })),
    );
    return [...[...over, ...shared].map(({ id }) => id), ...lost];
  }

  type Old = { id: string; isIncomplete: boolean };

  /**
   * A request is lost to the ledger if it is over, or was never created, and no entry of it waits: all entries that waited when
   * it was over have been stored since.
   */
  async function lostOf(keyId: string, old: readonly Old[]): Promise<string[]> {
    const known = suspects.get(keyId) ?? new Map<string, string>();
    const next = new Map<string, string>();
    for (const { id } of old) {
      const newest = known.get(id);
      if (newest !== undefined) next.set(id, newest);
    }
    suspects.set(keyId, next);
    const over = await filterOver(portion(old, rounds));
    const byShard = Map.groupBy(over, (id) => parseRequestId(id)?.shard ?? 0);
    const lost: string[] = [];
    for (const [shard, ids] of byShard) {
      const entries = await waiting(shard);
      for (const id of ids) {
        const newest = next.get(id);
        if (!entries || (newest !== undefined && isLater(entries.oldest, newest))) lost.push(id);
        else if (newest === undefined) next.set(id, entries.newest);
      }
    }
    return lost;
  }

  /** Not those whose attempts are not known yet, as long as their log may tell. */
  async function filterOver(old: readonly Old[]): Promise<string[]> {
    const each = await Promise.all(
      old.map(async ({ id, isIncomplete }) => {
        const described = await log.describe(id);
        const isOver = !described || (described.ended !== undefined && !isIncomplete);
        return isOver ? [id] : [];
      }),
    );
    return each.flat();
  }

  async function reviewDue(): Promise<void> {
    if (performance.now() < reviewAt) return;
    // `changed` may ask for another one meanwhile.
    reviewAt = Infinity;
    try {
      if (problem() === undefined) await review();
      isReviewFailing = false;
    } catch (error) {
      // One line for an outage.
      if (!isReviewFailing && problem() === undefined) onError(error);
      isReviewFailing = true;
    }
    reviewAt = Math.min(reviewAt, performance.now() + reviewMs);
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      sleep = new AbortController();
      isReported = false;
      await settleDue();
      await reviewDue();
      const dueAt = pending.size > 0 ? Math.min(settleAt, reviewAt) : reviewAt;
      await pause(Math.max(0, dueAt - performance.now()), sleep.signal);
    }
    await settlePending();
  }

  const running = run();
  return {
    stored(entries) {
      for (const { id, meta } of entries) {
        const { keyId } = meta;
        if (keyId === undefined || !budgetedIds.has(keyId)) continue;
        const ids = pending.get(keyId);
        if (ids) ids.add(id);
        else pending.set(keyId, new Set([id]));
      }
      if (pending.size > 0) wake();
    },
    async refresh(keyId) {
      await ready();
      budgetedIds = new Set([...budgetedIds, keyId]);
      await settle(keyId, () => overOf(keyId));
    },
    changed() {
      reviewAt = 0;
      wake();
    },
    countsFrom: () => (budgetedIds.size === 0 ? Infinity : firstCounted(Date.now())),
    async stop() {
      stopping.abort();
      wake();
      await running;
    },
  };
}

/** At most `maxLooks` of them, others in each round. */
function portion<T>(all: readonly T[], round: number): readonly T[] {
  if (all.length <= maxLooks) return all;
  const from = (round * maxLooks) % all.length;
  return [...all, ...all].slice(from, from + maxLooks);
}
