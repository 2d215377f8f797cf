import { collectDefaultMetrics } from 'prom-client';
import type { Registry } from 'prom-client';

/* prom-client as the processes use it; a registry is made in their main.ts and never the global one. */
export { Counter, Gauge, Histogram, Registry } from 'prom-client';

/**
 * Gauges of prom-client that are named like counters, which `promtool check metrics` reports. Each is the sum of
 * the gauge beside it without `_total`, which has them by their type.
 */
const misnamed = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/**
 * Milliseconds between two wake-ups by which prom-client would measure the event loop; each costs an idle
 * process as much as a request. What is measured so rarely says nothing, so those series are left out.
 */
const lagPrecisionMs = 10_000;
const unmeasured = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map(
  (of) => `nodejs_eventloop_lag_${of}_seconds`,
);

/** What Node tells of the process: CPU, memory, event loop, garbage collection. `prefix` ends in `_`. */
export function collectProcessMetrics(register: Registry, prefix: string): void {
  collectDefaultMetrics({ register, prefix, eventLoopMonitoringPrecision: lagPrecisionMs });
  for (const name of [...misnamed, ...unmeasured]) register.removeSingleMetric(`${prefix}${name}`);
}
