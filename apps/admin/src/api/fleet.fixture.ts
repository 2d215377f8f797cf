import type { FleetSource } from './fleet-routes.ts';

/** A fleet without processes. */
export const noFleet = (changes: Partial<FleetSource> = {}): FleetSource => ({
  isReady: () => true,
  onError() {},
  list: async () => [],
  send: async () => 'gone',
  queue: async () => ({ waiting: 0, active: 0, oldestAt: undefined, pausedShards: [] }),
  backlog: async () => undefined,
  memory: async () => undefined,
  shards: 1,
  ...changes,
});
