import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

/** A buffer, map or queue of a process, or what else may grow, and the limit that it stays below. */
export type Bound = {
  what: string;
  unit: 'bytes' | 'entries' | 'seconds';
  /** The limit's name in the config file, or in the code where it is no setting. */
  limit: string;
  /** Infinity where something else ends it: docs/bounds.md says what. */
  max: number;
  /** The limit is that of each one; what is shown is the sum of all. */
  per?: string | undefined;
  /** Its size at this moment. */
  read(): number;
  /** What came on top and was dropped, since the start. */
  dropped?(): number;
};

/** Shows every bound's size beside its limit: read when somebody looks, and never kept. */
export function showBounds(registry: Registry, bounds: readonly Bound[]): void {
  const gauge = (name: string, help: string, read: (bound: Bound) => number | undefined) => {
    new Gauge({
      name,
      help,
      labelNames: ['what', 'limit', 'per'],
      registers: [registry],
      collect() {
        for (const bound of bounds) {
          const value = read(bound);
          const { what, limit, per = 'process' } = bound;
          if (value !== undefined) this.set({ what, limit, per }, value);
        }
      },
    });
  };
  gauge('millrace_bound_bytes', 'Bytes that a buffer holds', ({ unit, read }) =>
    unit === 'bytes' ? read() : undefined,
  );
  gauge('millrace_bound_entries', 'Entries of a map or queue', ({ unit, read }) =>
    unit === 'entries' ? read() : undefined,
  );
  gauge('millrace_bound_seconds', 'How late it is', ({ unit, read }) =>
    unit === 'seconds' ? read() : undefined,
  );
  gauge('millrace_bound_limit', 'What it may hold, for each one it is a limit of', ({ max }) =>
    Number.isFinite(max) ? max : undefined,
  );
  new Counter({
    name: 'millrace_bound_dropped_total',
    help: 'What came on top of a limit and was dropped',
    labelNames: ['what'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { what, dropped } of bounds) if (dropped) this.inc({ what }, dropped());
    },
  });
}
