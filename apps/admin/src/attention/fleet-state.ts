import type { BudgetLimit, BudgetUse } from '@millrace/shared/domain/budget';
import type { FleetProcess } from '@millrace/shared/store/fleet/port';
import type { LedgerBacklog } from '@millrace/shared/store/ledger/port';
import type { ProcessConfig } from '@millrace/shared/store/process-configs';
import type { QueueState } from '@millrace/shared/store/queue/queue-state';
import type { RedisMemory } from '@millrace/shared/store/redis-memory';
import type { TargetView } from '../api/upstream-view.ts';

/** The state of a fleet at one moment, as far as an operator may have to act on it. Times are milliseconds since the epoch. */
export type FleetState = {
  readonly now: number;
  readonly processes: readonly FleetProcess[];
  readonly queue: QueueState;
  readonly shards: number;
  /** `limits.queueWait`, in milliseconds. */
  readonly queueWaitMs: number;
  readonly targets: readonly Pick<
    TargetView,
    'target' | 'aliases' | 'state' | 'opened_by' | 'reason' | 'since'
  >[];
  readonly pools: readonly PoolState[];
  /** Undefined: the fleet keeps no ledger. */
  readonly ledger: LedgerState | undefined;
  readonly configs: readonly ProcessConfig[];
  /** Undefined: the user of Redis must not ask for it. */
  readonly memory: RedisMemory | undefined;
  /** `limits.queueMemory`: percent of Redis' maxmemory above which ingresses reject new requests. */
  readonly queueMemory: number;
  /** Undefined: the fleet sends no webhooks. */
  readonly webhooks: WebhookState | undefined;
  /** The amounts of all keys with a budget. */
  readonly budgets: readonly BudgetAmount[];
  /** Requests that were made in the last `recentMs` and have ended; undefined: the ledger does not tell. */
  readonly recent: RecentRequests | undefined;
};

/** One provider's pool in one worker. */
export type PoolState = {
  readonly provider: string;
  readonly worker: string;
  readonly limit: number;
  readonly active: number;
  /** Requests that wait for a connection. */
  readonly waiting: number;
};

export type LedgerState = LedgerBacklog & {
  /** Why the database takes no entries; null: it does. */
  readonly problem: string | null;
  /** When the oldest entry that waits was written; undefined: none waits. */
  readonly oldestAt: number | undefined;
  /** Entries that were not kept since the look before the last ones; see `countLately`. */
  readonly droppedLately: number;
};

export type WebhookState = {
  readonly dead: number;
  /** Ended jobs of which no delivery was made lately, because too many waited. */
  readonly droppedLately: number;
};

export type BudgetAmount = {
  readonly keyId: string;
  readonly limit: BudgetLimit;
  readonly use: BudgetUse;
};

export type RecentRequests = {
  readonly ended: number;
  readonly failed: number;
  /** The most frequent error code among the failed ones. */
  readonly mostFrequent: string | undefined;
};

/** Milliseconds over which the failure rate is taken. */
export const recentMs = 300_000;
