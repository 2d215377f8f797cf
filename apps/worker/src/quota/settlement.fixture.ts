import type { QuotaSettlement } from './settlement.ts';

/** For tests that look at something else. */
export const unlimited: QuotaSettlement = { begin: () => {}, settle: () => {}, forget: () => {} };
