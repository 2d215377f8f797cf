import type { Socket } from 'node:net';
import type { Config } from '@millrace/shared/config';
import type { LiveChannels, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { Logger } from '@millrace/shared/runtime/logger';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import type { WorkerReport } from '@millrace/shared/store/reports/port';
import type { ConnectionCounts } from './server/connection-counts.ts';
import type { Gate } from './auth/api-keys.ts';
import type { Connections } from './server/connections.ts';
import type { Door } from './admission/controller.ts';
import type { JobViews } from './api/jobs/view.ts';
import type { KeyLimits } from './admission/quota.ts';
import type { BodyBudget } from './server/limits.ts';
import type { SocketWheel } from './api/websocket/heartbeat.ts';
import type { Metrics } from './observe/metrics.ts';
import type { OwnLoad } from './admission/overload-monitor.ts';
import type { Reconciler } from './membership/reconcile.ts';
import type { Refusal } from './observe/refusals.ts';
import type { Relay } from './delivery/relay.ts';
import type { WaitingRoom } from './delivery/queue-position.ts';
import type { KeepAlive } from './delivery/sse-writer.ts';
import type { Submitter } from './exchange/submit.ts';

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
