import type { InnerRequest } from '@millrace/formats/client-port';
import type { AnswerSink, NativeCall } from '@millrace/formats/port';
import type { ModelConfig } from '@millrace/shared/config';
import type { AttemptMode } from '@millrace/shared/domain/entry';
import type { Prices } from '@millrace/shared/cost/prices';
import type { MoveAnswer, RunView } from '@millrace/shared/domain/inquiry';
import type {
  Continuation,
  ContinuationScope,
  JobData,
  Target,
} from '@millrace/shared/domain/request';
import type { Activation } from '@millrace/shared/store/queue/port';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import type { Identity } from '../continuation/delivered.ts';
import type { Route } from '../continuation/plan.ts';
import type { TimeLimit } from '../continuation/time-limit.ts';
import type { RunMetrics } from '../observe/metrics.ts';
import type { QuotaSettlement } from '../quota/settlement.ts';
import type { Permit, TargetAccess, TargetAccessRequest } from '../upstream/target-access.ts';
import type { Appender } from './appender.ts';
import type { Attempt } from './attempt.ts';
import type { RunReport } from './report.ts';

/* The dependencies of a run, and what other modules see of it. */

/** Why a run was stopped. */
export type StopReason =
  /** The request got its terminal entry from outside. */
  | 'finished'
  /** Another run has sealed the log. */
  | 'fenced'
  /** The log has expired. */
  | 'gone'
  /** Redis lost lines of the log, as in a failover: another run continues from the remaining ones. */
  | 'lost'
  /** The request's data in Redis is damaged: no run can continue it. */
  | 'damaged'
  /** BullMQ's lock could not be renewed. */
  | 'lock_lost'
  /** The worker shuts down: another one continues. */
  | 'shutdown';

export type RunDeps = {
  log: Pick<StreamLog, 'seal' | 'read' | 'amend'>;
  appender: Appender;
  worker: string;
  metrics: RunMetrics;
  settlement: QuotaSettlement;
  /** Ended requests get a ledger entry. */
  hasLedger: boolean;
  /**
   * Characters of chunks that an attempt may hold back, and of delivered text that a run keeps to continue
   * from.
   */
  maxHeldChars: number;
  /** Characters of the lines that the log of a stream may have. */
  maxLogChars: number;
  /** The model's policy from the config; undefined for an unknown model. */
  policy(model: string): Policy | undefined;
  /** The targets of the job that this worker's config knows, with their capabilities. */
  routes(targets: readonly Target[], request: Pick<JobData, 'model' | 'endpoint'>): Route[];
  /** Opens a request's access to its targets. */
  openTargets(request: TargetAccessRequest): TargetAccess;
  /** Starts the upstream call of an attempt. */
  call(options: CallOptions): Attempt;
  /** Absent: prices are unknown, and no request has a cap (the warm-up). */
  costs?: RunCosts;
  /** Takes one hedge from the budget; false if there is none. */
  mayHedge(): boolean;
  /** Returns the hedge to the budget: it did not start. */
  returnHedge(): void;
  /** Registers the run so that it can be stopped, seen and moved, until the returned function is called. */
  register(activation: Activation, run: RunControl): () => void;
  /** How often this process was blocked, as `LateLoop` counts it. */
  timesLate(): number;
  /** Called when the run has ended, unless it threw. */
  onEnded?(report: RunReport): void;
  /** Reports bugs, which end one request only, and errors because of which a run gave up. */
  onError(error: unknown): void;
  now(): number;
  /** Between 0 and 1. */
  random(): number;
};

/** What a run knows of costs. */
export type RunCosts = {
  prices: Prices;
  /** Loads the prices that this job needs; undefined if none are missing. */
  load(job: Pick<JobData, 'model' | 'maxCost'>): Promise<void> | undefined;
};

/** A run as other components of its worker use it. */
export type RunControl = {
  stop(reason: StopReason): void;
  held(): Held;
  look(): RunView;
  /** Ends the present attempt, so that another target continues the answer: `target`, or the next one. */
  move(target?: Target): Exclude<MoveAnswer, { kind: 'not_here' }>;
};

/** Bytes of an answer that a run holds: what its attempts hold back, and the delivered text that it keeps. */
export type Held = { attempts: number; delivered: number };

export type Policy = {
  strategy?: ModelConfig['strategy'];
  continuation: Continuation;
  continuationScope?: ContinuationScope;
  onSlowFirstToken: 'hedge' | 'failover' | 'wait';
  holdToolCalls: boolean;
  /** For the whole request, from its first attempt on. */
  timeoutMs: number;
};

/** A request in its client's format, which is not the inner form. */
export type ClientRequest = {
  /** As the client sent it. */
  body: string;
  inexpressible: InnerRequest['inexpressible'];
};

export type CallOptions = {
  activation: Activation;
  target: Target;
  permit: Permit;
  /** The request of this attempt in the inner form. */
  body: string;
  /** The client's request where its format is another one. */
  asked: ClientRequest | undefined;
  /** Messages at the end of `body` that the client did not send: this attempt continues an answer. */
  turns: NativeCall['turns'];
  mode: AttemptMode;
  /** Its number in the request. */
  attempt: number;
  identity: Identity | undefined;
  /** A target has begun to answer the request: a later rejection says nothing about the request. */
  wasAccepted: boolean;
  /** The target rejected `stream_options`: it is asked again without them. */
  refusedStreamOptions: boolean;
  /** The end of the request's time. */
  limit: TimeLimit;
  sink: AnswerSink;
  signal: AbortSignal;
  onSlow: (() => void) | undefined;
  onError(error: unknown): void;
};
