import type { BreakerConfig } from '@millrace/shared/config';
import type { Evidence } from './breaker.ts';

/** The defaults of the config. */
export const policy: BreakerConfig = {
  enabled: true,
  windowMs: 30_000,
  calls: 20,
  errorRate: 10,
  failures: 5,
  probeIntervalMs: 1000,
  rampMs: 3000,
};

export const nothingSeen: Evidence = {
  calls: 0,
  errors: 0,
  usualRate: 0,
  row: 0,
  checkRow: 0,
  retryAt: undefined,
};
