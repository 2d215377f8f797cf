import type { BreakerConfig } from '@millrace/shared/config';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import type { Gossip } from '@millrace/shared/store/gossip/port';
import type { Admission, BreakerState } from './breaker.ts';
import type { LastFault } from './last-fault.ts';

export type StateKind = BreakerState['kind'];

/** What a call came to. */
export type Outcome =
  | { kind: 'ok'; firstTokenMs?: number | undefined }
  /** Whether it counts is in the fault's row. */
  | { kind: 'fault'; fault: Fault }
  /** It says nothing about the target: a client's cancel, superseded by another, handed over. */
  | { kind: 'void' };

/**
 * What happens to one call. Its first token may be reported before its outcome: a probe has succeeded with
 * that, long before its answer is whole.
 */
export type CallEvent = { kind: 'first-token'; ms: number } | Outcome;

export type Change = {
  target: Target;
  from: StateKind;
  to: StateKind;
  byThisWorker: boolean;
  /** The last one that counted, of whatever worker; undefined where none is known. */
  fault: LastFault | undefined;
};

export type HealthOptions = {
  bus: Gossip;
  /** This worker's name, unique in the fleet. */
  worker: string;
  /** Undefined for a provider that this worker's config does not know. */
  breakerOf(provider: string): BreakerConfig | undefined;
  /** Milliseconds since the epoch. */
  now?: () => number;
  /** 0 to 1. */
  random?: () => number;
  /** This process stood still a moment ago: what it saw of others meanwhile says nothing of them. */
  wasLate?: () => boolean;
  onChange?: (change: Change) => void;
  onError: (error: unknown) => void;
};

/** How targets are, as the whole fleet sees them. */
export type Health = {
  /** A call to this target begins; it is in flight until its outcome is reported. Only the first one counts. */
  started(target: Target): (news: CallEvent) => void;
  /** `ask`: only who wins `claimProbe` may call. Everything else is known at once. */
  admit(target: Target): Admission;
  /**
   * True when this one request may call now. As a probe it has to start within a second, or the right
   * to it is over.
   */
  claimProbe(target: Target): Promise<boolean>;
  /** An active check ended that was no call. `fault`: why it failed. */
  checked(target: Target, end: 'ok' | 'failed', fault?: Fault): void;
  stateOf(target: Target): StateKind;
  /** Calls under way in the whole fleet. */
  inFlight(target: Target): number;
  /** Milliseconds, averaged over the last minute or so; undefined when it is not known. */
  firstTokenMs(target: Target): number | undefined;
  /** Of its last calls, 0 to 1, whatever its state; 1 while nothing is known. */
  successRate(target: Target): number;
  /** After a `no`: when it is worth asking again, in milliseconds since the epoch. Undefined: at once. */
  nextTryAt(target: Target): number | undefined;
  /** Some target may be asked again that was refused before. Returns how to stop listening. */
  onAvailable(listener: () => void): () => void;
  snapshot(): HealthSnapshot;
  counters(): HealthCounters;
  close(): void;
};

/** For people: /admin/upstreams. Times are milliseconds since the epoch. */
export type HealthSnapshot = {
  /** That are heard, this one too. */
  workers: number;
  targets: {
    provider: string;
    model: string;
    state: StateKind;
    since: number;
    window: { calls: number; errors: number };
    /** 0 to 1. */
    usualRate: number;
    /** Of the last calls, 0 to 1. */
    successRate: number;
    inFlight: number;
    firstTokenMs: number | undefined;
    nextProbeAt: number | undefined;
    lastFault: LastFault | undefined;
  }[];
};

/** Since the start. */
export type HealthCounters = {
  /** Made by this worker: the sum over the fleet counts each one once. */
  transitions: Record<StateKind, number>;
  probes: Record<'started' | 'ok' | 'failed' | 'void', number>;
  /** The same of each target that this worker knows of. */
  targets: (Target & Pick<HealthCounters, 'transitions' | 'probes'>)[];
  pulses: Record<'sent' | 'received' | 'dropped', number>;
};
