import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

/** A buffer, map or queue of a process, or anything else that may grow, and its limit. */
export type Bound = {
  what: string;
  unit: 'bytes' | 'entries' | 'seconds';
  /** The limit's name in the config file, or in the code if it is no setting. */
  limit: string;
  /** Infinity if something else bounds it; docs/bounds.md says what. A function if a reload of the config may change it. */
  max: number | (() => number);
  /** The unit that the limit applies to; the size shown is the sum over all. */
  per?: string | undefined;
  /** Its size at this moment. */
  read(): number;
  /** How much exceeded the limit and was dropped, since the start. */
  dropped?(): number;
};

/** Shows every bound's size beside its limit; a scrape reads both, nothing is stored. */
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
  gauge('millrace_bound_seconds', 'Delay of the event loop', ({ unit, read }) =>
    unit === 'seconds' ? read() : undefined,
  );
  gauge('millrace_bound_limit', 'Limit of a buffer, map or queue, for each `per`', ({ max }) => {
    const now = typeof max === 'function' ? max() : max;
    return Number.isFinite(now) ? now : undefined;
  });
  new Counter({
    name: 'millrace_bound_dropped_total',
    help: 'What exceeded a limit and was dropped',
    labelNames: ['what'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { what, dropped } of bounds) if (dropped) this.inc({ what }, dropped());
    },
  });
}
