import type { Socket } from 'node:net';
import type { Config } from '@millrace/shared/config';
import type { LiveChannels, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { Logger } from '@millrace/shared/runtime/logger';
import type { AuditWriter } from '@millrace/shared/store/audit/audit-writer';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import type { Prices } from '@millrace/shared/cost/prices';
import type { FleetProcess } from '@millrace/shared/store/fleet/port';
import type { ControlPlane } from '@millrace/shared/store/control-plane';
import type { ConnectionCounts } from './server/connection-counts.ts';
import type { KeyRing } from './auth/key-ring.ts';
import type { KeyUsers } from './auth/key-users.ts';
import type { LoginThrottle } from './auth/login-throttle.ts';
import type { SessionKeys } from './auth/session-keys.ts';
import type { Connections } from './server/connections.ts';
import type { AdmissionController } from './admission/controller.ts';
import type { JobViews } from './api/jobs/view.ts';
import type { KeyLimits } from './admission/quota.ts';
import type { BodyBudget } from './server/limits.ts';
import type { Heartbeat } from './api/websocket/heartbeat.ts';
import type { Metrics } from './observe/metrics.ts';
import type { Tracing } from './observe/tracing.ts';
import type { OverloadMonitor } from './admission/overload-monitor.ts';
import type { Reconciler } from './membership/reconcile.ts';
import type { Refusal } from './observe/refusals.ts';
import type { Relay } from './delivery/relay.ts';
import type { QueuePositions } from './delivery/queue-position.ts';
import type { KeepAlive } from './delivery/sse-writer.ts';
import type { Exchanges } from './exchange/exchange.ts';
import type { Submission } from './exchange/prepare.ts';
import type { Submitter } from './exchange/submit.ts';

/** The dependencies of the routes: created in main.ts, passed to buildApp. */
export type Services = {
  /** Always the config in use. */
  config: Config;
  /** Always its limits; `config.limits` are those of the moment, which a stream keeps. */
  limits: Config['limits'];
  log: StreamLog;
  queue: JobQueue;
  channels: LiveChannels;
  relay: Relay;
  exchanges: Exchanges;
  /** Loads the prices that the cap of a request needs, if any are missing. Never rejects: then they are unknown. */
  loadPrices(submission: Pick<Submission, 'model' | 'maxCost'>): Promise<void> | undefined;
  submitter: Pick<Submitter, 'cancel'>;
  admission: Pick<AdmissionController, 'checkOverload'>;
  overloadMonitor: Pick<OverloadMonitor, 'judge'>;
  queuePositions: QueuePositions;
  jobViews: JobViews;
  reconciler: Reconciler;
  keepAlive: KeepAlive;
  heartbeat: Heartbeat;
  metrics: Metrics;
  /** Undefined: no telemetry is configured. */
  tracing?: Tracing | undefined;
  /** Of the config in use, and those that were loaded for routing. */
  prices(): Prices;
  /** Undefined: none runs. Rejects while Redis is away. */
  findControlPlane(): Promise<ControlPlane | undefined>;
  /** The processes of the fleet. Rejects while Redis is away. */
  processes(): Promise<readonly FleetProcess[]>;
  keyRing: KeyRing;
  keyUsers: Pick<KeyUsers, 'add'>;
  keyLimits: KeyLimits;
  sessionKeys: SessionKeys;
  loginThrottle: LoginThrottle;
  audit: Pick<AuditWriter, 'record'>;
  /** Counts and logs a rejection. */
  refused(refusal: Refusal): void;
  connections: Connections;
  connectionCounts: ConnectionCounts<Socket>;
  bodies: BodyBudget;
  /** The name of this ingress' inbox. */
  inbox: string;
  /** True after SIGTERM, and while an operator's drain lasts: `/readyz` says `draining`, and every answer closes its connection. */
  leaving(): boolean;
  /** True `drainDelay` later: new requests are rejected; requests under way continue. */
  draining(): boolean;
  /** Rejects if Redis does not answer. */
  pingRedis(): Promise<void>;
  logger: Pick<Logger, 'debug' | 'info' | 'warn'>;
  onError(error: unknown): void;
};
