import type { RequestSource } from './request-routes.ts';

/** A Redis that has no request, beside a ledger. */
export const onlyLedger = (ledger: RequestSource['ledger']): RequestSource => ({
  ledger,
  describe: async () => undefined,
  logs: { summary: async () => undefined },
  timedLog: { read: async () => undefined },
  prices: () => null,
  retentionMs: 1000,
  isReady: () => true,
  onError() {},
});
