/**
 * What workers share apart from requests: texts that they broadcast, states that a worker reads when it joins
 * later, and leases for work that only one of them should do.
 *
 * Guarantees of every adapter:
 * - no call rejects or waits for a Redis that is unreachable: the outcome is `away`;
 * - of two workers that change one state at once, the second one gets the state that the first one wrote;
 * - a lease has one owner at a time, and expires;
 * - states expire too, and their number is bounded.
 */
export type Gossip = {
  /** Unique to this process: the owner of its leases. */
  readonly owner: string;
  /** Sends a text to every listener, this process included. Best effort: a text that cannot be sent is dropped and counted. */
  publish(text: string): void;
  subscribe(events: GossipEvents): GossipSubscription;
  states(): Promise<StatesOutcome>;
  /** Sets a state, unless its version is no longer the one that was seen. `undefined`: there was none. */
  setState(field: string, text: string, seen: StateVersion | undefined): Promise<SetOutcome>;
  /** Removes a state, unless its version is no longer the one that was seen. */
  clearState(field: string, seen: StateVersion | undefined): Promise<SetOutcome>;
  /**
   * Takes a lease for `ttlMs`, or renews it if this process holds it already: it does not exclude two parts
   * of one process from each other.
   */
  claim(name: string, ttlMs: number): Promise<ClaimOutcome>;
  /** Releases a lease that this process still holds. */
  release(name: string): Promise<void>;
  /** Since the start. */
  counters(): GossipCounters;
};

export type GossipEvents = {
  onText(text: string): void;
  /**
   * Texts arrive from now on: for the first time, or again after the connection was lost. Earlier texts may
   * have been missed: read the states.
   */
  onListening(): void;
};

export type GossipSubscription = { close(): void };

/** Changes with every change of the state, and is never used twice. */
export type StateVersion = string;
export type SharedState = { text: string; version: StateVersion };

export type StatesOutcome =
  | { kind: 'states'; states: ReadonlyMap<string, SharedState> }
  | { kind: 'away' };

export type SetOutcome =
  /** Without a version if the state was removed. */
  | { kind: 'set'; version: StateVersion | undefined }
  /** Another process was first; `state` is the present one. */
  | { kind: 'changed'; state: SharedState | undefined }
  /** There are `maxStates` states already. */
  | { kind: 'full' }
  | { kind: 'away' };

export type ClaimOutcome = 'claimed' | 'taken' | 'away';

export type GossipCounters = { published: number; dropped: number };

/** Most shared states. */
export const maxStates = 10_000;
/** Milliseconds that the states outlive the last change of one of them. */
export const statesTtlMs = 3_600_000;
