import type { AnswerSink } from '@millrace/formats/port';
import type { AttemptMode } from '@millrace/shared/domain/entry';
import type { Continuation, Target } from '@millrace/shared/domain/request';
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

/* What a run needs of the worker, and what others know of a run. */

/** Why a run was stopped. */
export type StopReason =
  /** The request got its terminal entry from outside. */
  | 'finished'
  /** Another run has the log. */
  | 'fenced'
  /** The log came to the end of its life. */
  | 'gone'
  /** Redis lost lines of the log, as in a failover: another run goes on from what is left. */
  | 'lost'
  /** What Redis has of the request is damaged: no run can go on with it. */
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
  /** Characters of chunks that an attempt may keep back, and of text that a run keeps to continue from. */
  maxHeldChars: number;
  /** Characters of the lines that the log of a stream may have. */
  maxLogChars: number;
  /** What the config says of the model; undefined when it does not know it. */
  policy(model: string): Policy | undefined;
  /** The targets of the job as this worker can reach them. */
  routes(targets: readonly Target[], model: string): Route[];
  /** The request's way to its targets. */
  openTargets(request: TargetAccessRequest): TargetAccess;
  /** Starts the upstream call of an attempt. */
  call(options: CallOptions): Attempt;
  /** Whether one more attempt may start beside a slow one, now. */
  mayHedge(): boolean;
  /** The one that might did not start. */
  returnHedge(): void;
  /** Makes the run reachable for a stop and for its sizes, until the returned function is called. */
  register(
    activation: Activation,
    stop: (reason: StopReason) => void,
    held: () => Held,
  ): () => void;
  /** How often this process stood still, as `LateLoop` has it. */
  timesLate(): number;
  /** Reports bugs, which end one request only, and why a run gave up. */
  onError(error: unknown): void;
  now(): number;
  /** Between 0 and 1. */
  random(): number;
};

/** Bytes of an answer that a run has: what its attempts hold back, and what it remembers of the text shown. */
export type Held = { attempts: number; delivered: number };

export type Policy = {
  continuation: Continuation;
  onSlowFirstToken: 'hedge' | 'failover' | 'wait';
  holdToolCalls: boolean;
  /** Of the whole request, from its first attempt on. */
  timeoutMs: number;
};

export type CallOptions = {
  activation: Activation;
  target: Target;
  permit: Permit;
  /** In the inner form, as this attempt asks. */
  body: string;
  mode: AttemptMode;
  identity: Identity | undefined;
  /** Some target began to answer the request: one that refuses it now is no judge of it. */
  wasAccepted: boolean;
  /** The target refused this request for `stream_options`: it is asked again without. */
  refusedStreamOptions: boolean;
  /** The end of the request's time. */
  limit: TimeLimit;
  sink: AnswerSink;
  signal: AbortSignal;
  onSlow: (() => void) | undefined;
  onError(error: unknown): void;
};
