/* prom-client as the processes use it; a registry is made in their main.ts and never the global one. */
export { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
