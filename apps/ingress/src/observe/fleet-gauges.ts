import { Counter, Gauge } from '@millrace/shared/runtime/metrics';
import type { Registry } from '@millrace/shared/runtime/metrics';
import type { FleetProcess } from '@millrace/shared/store/fleet/port';
import type { LedgerBacklog } from '@millrace/shared/store/ledger/port';
import type { RedisMemory } from '@millrace/shared/store/redis-memory';
import { within } from '../store-timeout.ts';

/** What an ingress reads from Redis about the fleet at each scrape. */
export type FleetSources = {
  processes(): Promise<readonly FleetProcess[]>;
  /** Whether a control plane has published its address. */
  hasControlPlane(): Promise<boolean>;
  /** When the oldest waiting request was made; ms since the epoch. */
  oldestAt(): Promise<number | undefined>;
  memory(): Promise<RedisMemory>;
  /** Absent: the config has no database. */
  backlog?: (() => Promise<LedgerBacklog>) | undefined;
};

/** Milliseconds that Redis may take; after that a scrape is answered without its values. */
const patienceMs = 1000;

/** A page without the values of Redis is still useful. */
export async function orElse<T>(work: Promise<T>, nothing: T): Promise<T> {
  try {
    return await within(work, patienceMs);
  } catch {
    return nothing;
  }
}

/** Gauges of the fleet that need an answer of Redis; without one they have no series. */
export function showFleet(registers: Registry[], sources: FleetSources): void {
  gauge(registers, {
    name: 'millrace_processes',
    help: 'Processes of the fleet by role and stage; draining: an operator has ordered it to take no new work',
    labelNames: ['role', 'stage'],
    read: async (set) => {
      const counts = new Map<string, { role: string; stage: string; count: number }>();
      for (const { role, stage, isListening } of await sources.processes()) {
        if (!isListening) continue;
        const one = counts.get(`${role} ${stage}`) ?? { role, stage, count: 0 };
        counts.set(`${role} ${stage}`, { ...one, count: one.count + 1 });
      }
      for (const { count, ...labels } of counts.values()) set(count, labels);
    },
  });
  gauge(registers, {
    name: 'millrace_control_plane_up',
    help: '1 while ingresses find a control plane, which keeps the ledger and serves the admin API',
    read: async (set) => set((await sources.hasControlPlane()) ? 1 : 0),
  });
  gauge(registers, {
    name: 'millrace_queue_oldest_wait_seconds',
    help: 'Age of the oldest request that waits in the queue; 0 if none does',
    read: async (set) => {
      const at = await sources.oldestAt();
      set(at === undefined ? 0 : Math.max(0, Date.now() - at) / 1000);
    },
  });
  gauge(registers, {
    name: 'millrace_redis_memory_bytes',
    help: 'Memory that Redis uses',
    read: async (set) => set((await sources.memory()).used),
  });
  gauge(registers, {
    name: 'millrace_redis_memory_limit_bytes',
    help: 'The most memory that Redis may use (maxmemory); 0: it has no limit',
    read: async (set) => set((await sources.memory()).max),
  });
  if (sources.backlog) showLedger(registers, sources.backlog);
}

function showLedger(registers: Registry[], backlog: () => Promise<LedgerBacklog>): void {
  gauge(registers, {
    name: 'millrace_ledger_backlog_entries',
    help: 'Ledger entries in Redis that the database does not have yet',
    read: async (set) => set((await backlog()).waiting),
  });
  new Counter({
    name: 'millrace_ledger_dropped_total',
    help: 'Requests without a ledger entry, because too many entries waited for the database; since Redis was new',
    registers,
    async collect() {
      const known = await orElse<LedgerBacklog | undefined>(backlog(), undefined);
      this.reset();
      // A reset sets the counter to 0, after which `increase` would count all losses again.
      if (known) this.inc(known.dropped);
      else this.remove();
    },
  });
}

type GaugeOptions = {
  name: string;
  help: string;
  labelNames?: string[];
  read(set: (value: number, labels?: Record<string, string>) => void): Promise<void>;
};

/** A gauge that needs an answer of Redis; without one it has no series. */
export function gauge(
  registers: Registry[],
  { read, labelNames = [], ...named }: GaugeOptions,
): void {
  new Gauge({
    ...named,
    labelNames,
    registers,
    async collect() {
      const found: { value: number; labels: Record<string, string> }[] = [];
      const isKnown = await orElse(
        read((value, labels = {}) => void found.push({ value, labels })).then(() => true),
        false,
      );
      this.reset();
      // A reset sets a gauge without labels to 0, and an unknown value has no series.
      if (labelNames.length === 0) this.remove();
      if (isKnown) for (const { value, labels } of found) this.set(labels, value);
    },
  });
}
