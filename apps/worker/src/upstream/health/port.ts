import type { BreakerConfig } from '@millrace/shared/config';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import type { TargetHold } from '@millrace/shared/store/target-holds/port';
import type { Gossip } from '@millrace/shared/store/gossip/port';
import type { Admission, BreakerState } from './breaker.ts';
import type { Holds } from './holds.ts';
import type { LastFault } from './last-fault.ts';

export type StateKind = BreakerState['kind'];

/** The outcome of a call. */
export type Outcome =
  | { kind: 'ok'; firstTokenMs?: number | undefined }
  /** The fault table says whether it affects the target's health. */
  | { kind: 'fault'; fault: Fault }
  /** It says nothing about the target: cancelled by the client, superseded, or handed over. */
  | { kind: 'void' };

/**
 * An event of one call. Its first token may be reported before its outcome, and makes a probe succeed long
 * before the answer is complete.
 */
export type CallEvent = { kind: 'first-token'; ms: number } | Outcome;

export type Change = {
  target: Target;
  from: StateKind;
  to: StateKind;
  byThisWorker: boolean;
  /** The last fault that affected the target's health, seen by any worker; undefined if there is none. */
  fault: LastFault | undefined;
};

export type HealthOptions = {
  bus: Gossip;
  /** This worker's name, unique in the fleet. */
  worker: string;
  /** Undefined for a provider that is not in this worker's config. */
  breakerOf(provider: string): BreakerConfig | undefined;
  /** Milliseconds since the epoch. */
  now?: () => number;
  /** 0 to 1. */
  random?: () => number;
  /** Whether this process was blocked recently: what it observed then says nothing about others. */
  wasLate?: () => boolean;
  onChange?: (change: Change) => void;
  /** The targets that an operator has opened, whatever their breakers say. */
  holds?: Pick<Holds, 'get' | 'keys' | 'onChange'>;
  onError: (error: unknown) => void;
};

/** The health of targets as the whole fleet sees it. */
export type Health = {
  /** A call to this target begins; it is in flight until its outcome is reported. Only the first outcome counts. */
  started(target: Target): (news: CallEvent) => void;
  /** `ask`: a request may call only if it wins `claimProbe`. */
  admit(target: Target): Admission;
  /** True if this request may call now. A probe has to start within a second, or its claim ends. */
  claimProbe(target: Target): Promise<boolean>;
  /** An active check that is not a call has ended. `fault`: why it failed. */
  checked(target: Target, end: 'ok' | 'failed', fault?: Fault): void;
  /** `open` for a target that an operator has opened. */
  stateOf(target: Target): StateKind;
  /** Whether an operator has opened it: nothing is sent to it. */
  isHeld(target: Target): boolean;
  /** Calls under way in the whole fleet. */
  inFlight(target: Target): number;
  /** Milliseconds, averaged over about the last minute; undefined if unknown. */
  firstTokenMs(target: Target): number | undefined;
  /** Success rate of its last calls, 0 to 1, in any state; 1 while there are none. */
  successRate(target: Target): number;
  /** After a `no`: when to ask again, in milliseconds since the epoch. Undefined: at once. */
  nextTryAt(target: Target): number | undefined;
  /** Calls `listener` when a target that was refused may be asked again. Returns the function that stops it. */
  onAvailable(listener: () => void): () => void;
  /** The config has changed: `breakerOf` may return something else. */
  retune(): void;
  snapshot(): HealthSnapshot;
  counters(): HealthCounters;
  close(): void;
};

/** For /admin/upstreams. Times are milliseconds since the epoch. */
export type HealthSnapshot = {
  /** Live workers, including this one. */
  workers: number;
  targets: {
    provider: string;
    model: string;
    state: StateKind;
    since: number;
    window: { calls: number; errors: number };
    /** 0 to 1. */
    usualRate: number;
    /** Success rate of the last calls, 0 to 1. */
    successRate: number;
    inFlight: number;
    firstTokenMs: number | undefined;
    nextProbeAt: number | undefined;
    lastFault: LastFault | undefined;
    /** An operator has opened it; `state` is `open` then. */
    held: TargetHold | undefined;
  }[];
  /** All targets that an operator has opened, as this worker knows them. */
  held: readonly string[];
};

/** Since the start. */
export type HealthCounters = {
  /** Transitions decided by this worker, so that the sum over the fleet counts each one once. */
  transitions: Record<StateKind, number>;
  probes: Record<'started' | 'ok' | 'failed' | 'void', number>;
  /** The same for each target that this worker knows. */
  targets: (Target & Pick<HealthCounters, 'transitions' | 'probes'>)[];
  pulses: Record<'sent' | 'received' | 'dropped', number>;
};
