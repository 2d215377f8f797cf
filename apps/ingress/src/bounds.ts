import type { Socket } from 'node:net';
import type { Bound } from '@millrace/shared/runtime/bounds';
import { maxKeys } from '@millrace/shared/store/api-keys/port';
import type { Config } from '@millrace/shared/config';
import type { ConnectionCounts } from './server/connection-counts.ts';
import type { Connections } from './server/connections.ts';
import type { BodyBudget } from './server/limits.ts';
import { maxPipelined } from './server/pipelined.ts';
import { maxServed } from './api/websocket/message-queue.ts';
import { maxPerSocket } from './api/websocket/requests.ts';
import type { Heartbeat } from './api/websocket/heartbeat.ts';
import { maxSummaryChars, maxViews } from './api/jobs/view.ts';
import type { JobViews } from './api/jobs/view.ts';
import type { OverloadMonitor } from './admission/overload-monitor.ts';
import type { Relay } from './delivery/relay.ts';
import type { KeepAlive } from './delivery/sse-writer.ts';
import type { QueuePositions } from './delivery/queue-position.ts';
import type { Submitter } from './exchange/submit.ts';

export type BoundSources = {
  /** Always those in use. */
  limits: Config['limits'];
  bodies: BodyBudget;
  connections: Pick<Connections, 'heldBytes' | 'size'>;
  connectionCounts: Pick<ConnectionCounts<Socket>, 'most' | 'size'>;
  /** Connections that the limit of file descriptors leaves. */
  room: number;
  relay: Pick<Relay, 'readers' | 'held' | 'reads'>;
  heartbeat: Pick<Heartbeat, 'framesServed' | 'requestsOpen'>;
  overloadMonitor: Pick<OverloadMonitor, 'usage' | 'limits'>;
  jobViews: Pick<JobViews, 'size' | 'held' | 'remembered' | 'maxHeld'>;
  queuePositions: Pick<QueuePositions, 'watchers'>;
  keepAlive: Pick<KeepAlive, 'watched'>;
  submitter: Pick<Submitter, 'cancelling'>;
  keeper: { readonly size: number };
  keyRing: { readonly size: number };
};

/** The memory bounds of an ingress; docs/bounds.md explains each. */
export function ingressBounds(sources: BoundSources): Bound[] {
  const { limits, bodies, connections, connectionCounts, relay, heartbeat, overloadMonitor } =
    sources;
  const entries = (
    what: string,
    limit: string,
    max: Bound['max'],
    read: () => number,
    per?: string,
  ) => {
    return { what, unit: 'entries' as const, limit, max, read, per };
  };
  const own = (what: 'heap' | 'resident_memory'): Bound => {
    const max = overloadMonitor.limits[what];
    return {
      what,
      unit: 'bytes',
      limit: 'limits.memory',
      max,
      read: () => overloadMonitor.usage[what],
    };
  };
  return [
    {
      what: 'loop_delay',
      unit: 'seconds',
      limit: 'limits.loopDelay',
      max: limits.loopDelayMs / 1000,
      read: () => overloadMonitor.usage.loop_delay / 1000,
    },
    own('heap'),
    own('resident_memory'),
    {
      what: 'request_bodies',
      unit: 'bytes',
      limit: 'limits.requestBodies',
      max: () => limits.requestBodiesBytes,
      read: () => bodies.held,
    },
    {
      what: 'reader_buffers',
      unit: 'bytes',
      limit: 'limits.readerBuffer',
      max: () => limits.readerBufferBytes,
      per: 'connection',
      read: () => connections.heldBytes(),
    },
    entries(
      'most_connections_of_an_address',
      'limits.connectionsPerAddress',
      () => limits.connectionsPerAddress,
      () => connectionCounts.most.address,
    ),
    entries(
      'most_connections_of_a_key',
      'limits.connectionsPerKey',
      () => limits.connectionsPerKey,
      () => connectionCounts.most.key,
    ),
    entries(
      'connections_in_use',
      'limits.connectionsPerAddress',
      () => limits.connectionsPerAddress,
      () => connections.size,
      'address',
    ),
    entries('readers', 'maxPerSocket', maxPerSocket, () => relay.readers, 'connection'),
    entries(
      'socket_requests',
      'maxPerSocket',
      maxPerSocket,
      () => heartbeat.requestsOpen(),
      'connection',
    ),
    entries('socket_frames', 'maxServed', maxServed, () => heartbeat.framesServed(), 'connection'),
    ...jobBounds(sources),
    entries('connections', 'descriptors', sources.room, () => connectionCounts.size),
    entries('log_reads', 'readers', Infinity, () => relay.reads),
    entries('held_requests', 'maxPipelined', maxPipelined, () => relay.held, 'connection'),
    entries('waiting_readers', 'readers', Infinity, () => sources.queuePositions.watchers),
    entries(
      'watched_streams',
      'maxPipelined',
      maxPipelined,
      () => sources.keepAlive.watched,
      'connection',
    ),
    entries('api_keys', 'maxKeys', maxKeys, () => sources.keyRing.size),
    entries('cancellations', 'patienceMs', Infinity, () => sources.submitter.cancelling),
    entries('renewed_leases', 'keys.*.concurrent', Infinity, () => sources.keeper.size),
  ];
}

/** Bounds of the answers of GET /v1/jobs/{id}. */
const jobBounds = ({ jobViews }: BoundSources): Bound[] => [
  {
    what: 'job_views',
    unit: 'entries',
    limit: 'maxViews',
    max: maxViews,
    read: () => jobViews.size,
  },
  {
    what: 'job_answers',
    unit: 'bytes',
    limit: 'limits.responseBody',
    max: jobViews.maxHeld,
    read: () => jobViews.held,
  },
  {
    what: 'job_stories',
    unit: 'bytes',
    limit: 'maxSummaryChars',
    max: maxSummaryChars,
    read: () => jobViews.remembered,
  },
];
