import type { Config, KeyConfig } from '@millrace/shared/config';
import { limitsAt } from '@millrace/shared/domain/budget';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { Budgets } from '@millrace/shared/store/budgets/port';
import type { Backlog } from '@millrace/shared/store/entry-queue/port';
import type { Fleet } from '@millrace/shared/store/fleet/port';
import type { LedgerBacklog } from '@millrace/shared/store/ledger/port';
import type { ProcessConfig } from '@millrace/shared/store/process-configs';
import type { QueueState } from '@millrace/shared/store/queue/queue-state';
import type { RedisMemory } from '@millrace/shared/store/redis-memory';
import type { Reports, WorkerReport } from '@millrace/shared/store/reports/port';
import type { TargetHolds } from '@millrace/shared/store/target-holds/port';
import { targetViews } from '../api/upstream-view.ts';
import { recentMs } from './fleet-state.ts';
import type {
  BudgetAmount,
  FleetState,
  LedgerState,
  PoolState,
  WebhookState,
} from './fleet-state.ts';

export type StateSources = {
  /** The config in use. */
  config(): Pick<Config, 'limits' | 'models' | 'shards'>;
  fleet: Pick<Fleet, 'list'>;
  queue(): Promise<QueueState>;
  reports: Pick<Reports, 'readAll' | 'readLast'>;
  holds: Pick<TargetHolds, 'read'>;
  configs(): Promise<readonly ProcessConfig[]>;
  memory(): Promise<RedisMemory>;
  /** Absent: the fleet keeps no ledger. */
  ledger: LedgerSources | undefined;
  /** Absent: the fleet sends no webhooks. */
  webhooks: (() => Promise<{ dead: number; backlog: Backlog }>) | undefined;
  budgets: Pick<Budgets, 'read'>;
  /** All keys, of the config and of the admin API. */
  keys(): Promise<readonly Pick<KeyConfig, 'id' | 'budget'>[]>;
  now?(): number;
};

export type LedgerSources = {
  backlog(): Promise<LedgerBacklog>;
  /** Why the database takes no entries; undefined: it does. */
  problem(): string | undefined;
  /** When the oldest entry that waits was written, in milliseconds since the epoch. */
  oldestAt(): Promise<number | undefined>;
  recent: (from: number) => Promise<NonNullable<FleetState['recent']>>;
};

/**
 * Reads the state of the fleet. `asksWorkers`: each worker makes a new report; otherwise their last ones count, which are up to
 * 15 s old. Rejects if Redis does not answer; the ledger and INFO may be away.
 */
export function createStateReader(sources: StateSources) {
  const { config, fleet, queue, reports, holds, configs, memory, ledger, budgets, keys } = sources;
  const { now: clock = Date.now } = sources;
  const countLately = createLatelyCounter();
  const countJobsLately = createLatelyCounter();

  async function readLedger(now: number): Promise<LedgerState | undefined> {
    if (!ledger) return undefined;
    const [backlog, oldestAt] = await Promise.all([ledger.backlog(), ledger.oldestAt()]);
    const problem = ledger.problem() ?? null;
    return { ...backlog, oldestAt, problem, droppedLately: countLately(backlog.dropped, now) };
  }

  async function readWebhooks(now: number): Promise<WebhookState | undefined> {
    const found = await sources.webhooks?.();
    return (
      found && { dead: found.dead, droppedLately: countJobsLately(found.backlog.dropped, now) }
    );
  }

  async function readBudgets(now: number): Promise<BudgetAmount[]> {
    const limited = (await keys()).flatMap(({ id, budget }) => (budget ? [{ id, budget }] : []));
    if (limited.length === 0) return [];
    const states = await budgets.read(limited.map(({ id }) => id));
    return limited.flatMap(({ id, budget }, i) =>
      limitsAt(budget, now).map((limit) => {
        const nothing = { spent: 0, reserved: 0 };
        return { keyId: id, limit, use: states[i]?.useOf(limit.unit, limit.period) ?? nothing };
      }),
    );
  }

  const readRecent = async (now: number) =>
    ledger?.problem() === undefined
      ? ledger?.recent(now - recentMs).catch(() => undefined)
      : undefined;

  return async ({ asksWorkers }: { asksWorkers: boolean }): Promise<FleetState> => {
    const now = clock();
    const { limits, models, shards } = config();
    const [processes, waiting, found, held, known, used, ledgerState, hooks, amounts, recent] =
      await Promise.all([
        fleet.list(),
        queue(),
        asksWorkers ? reports.readAll() : reports.readLast(),
        holds.read(),
        configs(),
        memory().catch(() => undefined),
        readLedger(now),
        readWebhooks(now),
        readBudgets(now),
        readRecent(now),
      ]);
    return {
      now,
      processes,
      queue: waiting,
      shards,
      queueWaitMs: limits.queueWaitMs,
      targets: targetViews({ models, reports: found, holds: held }),
      pools: found.flatMap(poolsOf),
      ledger: ledgerState,
      configs: known,
      memory: used,
      queueMemory: limits.queueMemory,
      webhooks: hooks,
      budgets: amounts,
      recent,
    };
  };
}

/** The pools in a worker's report. A worker of another version may report anything. */
function poolsOf({ name: worker, sections }: WorkerReport): PoolState[] {
  const upstreams = sections['upstreams'];
  const pools = isJsonObject(upstreams) ? upstreams['pools'] : undefined;
  return Object.entries(isJsonObject(pools) ? pools : {}).flatMap(([provider, pool]) => {
    if (!isJsonObject(pool)) return [];
    const { limit, active, waiting } = pool;
    const isWhole = [limit, active, waiting].every((one) => typeof one === 'number');
    return isWhole ? [{ provider, worker, limit, active, waiting } as PoolState] : [];
  });
}

/** Milliseconds between two marks of a counter. */
const markMs = 300_000;

/** By how much a counter that never ends has risen in the last five to ten minutes, since the first look at most. */
export function createLatelyCounter(): (count: number, now: number) => number {
  let older: { at: number; count: number } | undefined;
  let newer: { at: number; count: number } | undefined;
  return (count, now) => {
    if (!newer || now - newer.at >= markMs) {
      older = newer ?? { at: now, count };
      newer = { at: now, count };
    }
    // Redis was replaced by a new one.
    if (older && older.count > count) older = { at: now, count };
    return count - (older?.count ?? count);
  };
}
