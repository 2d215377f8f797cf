import type { FleetProcess } from '@millrace/shared/store/fleet/port';
import type { ProcessConfig } from '@millrace/shared/store/process-configs';
import type { FleetState } from './fleet-state.ts';

export const now = Date.parse('2026-11-30T12:00:00Z');

export const processOf = (
  role: FleetProcess['role'],
  changes: Partial<FleetProcess> = {},
): FleetProcess => ({
  name: `${role}-1`,
  role,
  version: '1.0.0',
  host: 'host',
  pid: 1,
  startedAt: now - 60_000,
  stage: 'serving',
  counts: {},
  isListening: true,
  ...changes,
});

export const configOf = (name: string, changes: Partial<ProcessConfig> = {}): ProcessConfig => ({
  name,
  role: 'worker',
  at: now,
  order: 0,
  hash: 'aaaa',
  since: now - 60_000,
  needsRestart: [],
  problems: [],
  ...changes,
});

export const targetOf = (
  target: string,
  changes: Partial<FleetState['targets'][number]> = {},
): FleetState['targets'][number] => ({
  target,
  aliases: ['m'],
  state: 'closed',
  opened_by: null,
  reason: null,
  since: null,
  ...changes,
});

/** A fleet in which nothing needs attention. */
export const calmFleet = (changes: Partial<FleetState> = {}): FleetState => ({
  now,
  processes: [processOf('ingress'), processOf('worker'), processOf('admin')],
  queue: { waiting: 0, active: 1, oldestAt: undefined, pausedShards: [] },
  shards: 1,
  queueWaitMs: 60_000,
  targets: [targetOf('one/x'), targetOf('two/x')],
  pools: [{ provider: 'one', worker: 'worker-1', limit: 10, active: 3, waiting: 0 }],
  ledger: { waiting: 0, dropped: 0, problem: null, oldestAt: undefined, droppedLately: 0 },
  configs: [configOf('worker-1'), configOf('ingress-1', { role: 'ingress' })],
  memory: { used: 10, max: 100 },
  queueMemory: 90,
  webhooks: { dead: 0, droppedLately: 0 },
  budgets: [],
  recent: { ended: 100, failed: 1, mostFrequent: 'timeout' },
  ...changes,
});
