import { Registry } from '@millrace/shared/runtime/metrics';
import type { LedgerBacklog } from '@millrace/shared/store/ledger/port';
import { expect, it } from 'vitest';
import { showFleet } from './fleet-gauges.ts';

it('values of the ledger have no series while Redis does not answer, and are never 0 in between', async () => {
  let backlog: () => Promise<LedgerBacklog>;
  const registry = new Registry();
  showFleet([registry], {
    processes: async () => [],
    hasControlPlane: async () => false,
    oldestAt: async () => undefined,
    memory: async () => ({ used: 1, max: 2 }),
    backlog: () => backlog(),
  });
  const shown = async () =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith('millrace_ledger_'));
  const known = ['millrace_ledger_backlog_entries 3', 'millrace_ledger_dropped_total 7'];

  backlog = async () => ({ waiting: 3, dropped: 7 });
  expect(await shown()).toEqual(known);
  backlog = async () => {
    throw new Error('Redis is away');
  };
  expect(await shown()).toEqual([]);
  backlog = async () => ({ waiting: 3, dropped: 7 });
  expect(await shown()).toEqual(known);
});
