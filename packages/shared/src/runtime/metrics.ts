import { collectDefaultMetrics } from 'prom-client';
import type { Registry } from 'prom-client';

/* prom-client as the processes use it; each main.ts makes its own registry instead of using the global one. */
export { Counter, Gauge, Histogram, Registry } from 'prom-client';

/**
 * Gauges of prom-client with names of counters, which `promtool check metrics` reports. Each is the sum of
 * the gauge of the same name without `_total`, which has a label for the type.
 */
const misnamed = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/**
 * Milliseconds between two wake-ups with which prom-client measures the event loop; each costs an idle
 * process as much as a request. So few measurements say nothing, so those series are removed.
 */
const lagPrecisionMs = 10_000;
const unmeasured = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map(
  (of) => `nodejs_eventloop_lag_${of}_seconds`,
);

/**
 * Buckets of a histogram of answers, in seconds: from a cached answer to a complete long one, or the first token of a
 * thinking model.
 */
export const answerBuckets: readonly number[] = [
  0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120,
];

/** Node's metrics of the process: CPU, memory, event loop, garbage collection. `prefix` ends in `_`. */
export function collectProcessMetrics(register: Registry, prefix: string): void {
  collectDefaultMetrics({ register, prefix, eventLoopMonitoringPrecision: lagPrecisionMs });
  for (const name of [...misnamed, ...unmeasured]) register.removeSingleMetric(`${prefix}${name}`);
}
