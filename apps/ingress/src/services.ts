import type { Socket } from 'node:net';
import type { Config } from '@millrace/shared/config';
import type { LiveChannels, StreamLog } from '@millrace/shared/log/port';
import type { Logger } from '@millrace/shared/logger';
import type { JobQueue } from '@millrace/shared/queue/port';
import type { WorkerReport } from '@millrace/shared/report/port';
import type { ConnectionCounts } from './admission/connection-counts.ts';
import type { Gate } from './admission/keys.ts';
import type { Connections } from './connections.ts';
import type { Door } from './door.ts';
import type { JobViews } from './job-view.ts';
import type { KeyLimits } from './key-limits.ts';
import type { BodyBudget } from './http/arrival.ts';
import type { SocketWheel } from './http/socket-wheel.ts';
import type { Metrics } from './metrics.ts';
import type { OwnLoad } from './own-load.ts';
import type { Reconciler } from './reconcile.ts';
import type { Refusal } from './refusals.ts';
import type { Relay } from './relay/relay.ts';
import type { WaitingRoom } from './relay/waiting-room.ts';
import type { KeepAlive } from './relay/sse-connection.ts';
import type { Submitter } from './submit.ts';

/** What the routes work with: made in main.ts, handed to buildApp. */
export type Services = {
  config: Config;
  log: StreamLog;
  queue: JobQueue;
  channels: LiveChannels;
  relay: Relay;
  submitter: Submitter;
  door: Pick<Door, 'checkSelf'>;
  ownLoad: Pick<OwnLoad, 'judge'>;
  waitingRoom: WaitingRoom;
  jobViews: JobViews;
  reconciler: Reconciler;
  keepAlive: KeepAlive;
  socketWheel: SocketWheel;
  metrics: Metrics;
  /** The newest of every worker that is present, sorted by name. */
  reports(): Promise<readonly WorkerReport[]>;
  gate: Gate;
  keyLimits: KeyLimits;
  /** Counts and logs it. */
  refused(refusal: Refusal): void;
  connections: Connections;
  connectionCounts: ConnectionCounts<Socket>;
  bodies: BodyBudget;
  /** The name of this ingress' inbox. */
  inbox: string;
  /** True once the process was told to stop: `/readyz` says so, and every answer ends its connection. */
  leaving(): boolean;
  /** True once it takes nothing new any more, `drainDelay` later: what runs goes on. */
  draining(): boolean;
  /** Rejects when Redis does not answer. */
  pingRedis(): Promise<void>;
  logger: Pick<Logger, 'debug' | 'info' | 'warn'>;
  onError(error: unknown): void;
};
