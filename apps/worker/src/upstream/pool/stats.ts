import type { FaultCode } from '@millrace/shared/domain/fault';
import { closeReasons } from './connection.ts';
import type { CloseReason, Connection } from './connection.ts';
import type { Opened } from './open.ts';

/** Counters of one provider's pool since its start; times in milliseconds. */
export type PoolCounters = {
  requests: number;
  connects: number;
  connectFailures: Partial<Record<FaultCode, number>>;
  handshakes: { tls: number; resumed: number };
  /** Requests that keep warm connections alive; not among `requests`. */
  keepWarm: number;
  closed: Record<CloseReason, number>;
  /** Requests that had to wait for a connection, including those that gave up. */
  waited: { count: number; totalMs: number; maxMs: number };
  waitTimeouts: number;
  /** Statistics of closed connections. */
  requestsPerConnection: { connections: number; sum: number; max: number };
  lifetimeMs: { sum: number; max: number };
};

export type PoolStats = PoolCounters & {
  /** Open connections. */
  size: number;
  /** Connections that carry a request. */
  active: number;
  idle: number;
  /** Idle connections that have not served yet: opened ahead of their first request. */
  warm: number;
  connecting: number;
  /** Connections that the pool may open. */
  limit: number;
  /** Requests that wait for a connection. */
  waiting: number;
  /** The share of requests that reused a connection; 0 before the first. */
  reuseRate: number;
};

export function createCounters(): PoolCounters {
  return {
    requests: 0,
    connects: 0,
    connectFailures: {},
    handshakes: { tls: 0, resumed: 0 },
    keepWarm: 0,
    closed: Object.fromEntries(closeReasons.map((reason) => [reason, 0])) as Record<
      CloseReason,
      number
    >,
    waited: { count: 0, totalMs: 0, maxMs: 0 },
    waitTimeouts: 0,
    requestsPerConnection: { connections: 0, sum: 0, max: 0 },
    lifetimeMs: { sum: 0, max: 0 },
  };
}

export function countConnect(counters: PoolCounters, { tls, resumed }: Opened): void {
  counters.connects += 1;
  if (tls) counters.handshakes.tls += 1;
  if (resumed) counters.handshakes.resumed += 1;
}

export function countConnectFailure({ connectFailures }: PoolCounters, code: FaultCode): void {
  connectFailures[code] = (connectFailures[code] ?? 0) + 1;
}

export function countClose(
  { closed, requestsPerConnection: requests, lifetimeMs }: PoolCounters,
  { served, openedAt }: Connection,
  reason: CloseReason,
  now: number,
): void {
  closed[reason] += 1;
  requests.connections += 1;
  requests.sum += served;
  requests.max = Math.max(requests.max, served);
  lifetimeMs.sum += now - openedAt;
  lifetimeMs.max = Math.max(lifetimeMs.max, now - openedAt);
}

export function countWait({ waited }: PoolCounters, ms: number): void {
  waited.count += 1;
  waited.totalMs += ms;
  waited.maxMs = Math.max(waited.maxMs, ms);
}

export function readStats(
  counters: PoolCounters,
  connections: Iterable<Connection>,
  queues: { connecting: number; waiting: number; limit: number },
): PoolStats {
  let [size, active, warm] = [0, 0, 0];
  for (const connection of connections) {
    size += 1;
    if (connection.active > 0) active += 1;
    else if (connection.served === 0) warm += 1;
  }
  const { requests, connects } = counters;
  const reuseRate = requests === 0 ? 0 : Math.max(0, 1 - connects / requests);
  return {
    ...structuredClone(counters),
    ...queues,
    size,
    active,
    idle: size - active,
    warm,
    reuseRate,
  };
}
