/**
 * What workers share beside the requests: what they tell each other, what a worker that comes later has
 * to know, and who does what only one of them should do.
 *
 * Guarantees of every adapter:
 * - nothing rejects and nothing waits for a Redis that is away: the outcome is `away`;
 * - of two that change one fact at once, one learns that it came second, and what the first one wrote;
 * - a lease has one owner at a time, and an end of life;
 * - facts have an end of life too, and a bound on their number.
 */
export type Gossip = {
  /** Unique to this process: the owner of its leases. */
  readonly owner: string;
  /** To everyone who listens, the teller too. Best effort: dropped, and counted, where it cannot be sent. */
  publish(text: string): void;
  subscribe(events: GossipEvents): GossipSubscription;
  states(): Promise<StatesOutcome>;
  /** Sets a fact, unless it is no longer the one that was seen. `undefined`: there was none. */
  setState(field: string, text: string, seen: StateVersion | undefined): Promise<SetOutcome>;
  /** Removes a fact, unless it is no longer the one that was seen. */
  clearState(field: string, seen: StateVersion | undefined): Promise<SetOutcome>;
  /**
   * Takes a lease for so many milliseconds, or renews it where this process has it already: two parts of
   * one process are not kept apart by it.
   */
  claim(name: string, ttlMs: number): Promise<ClaimOutcome>;
  /** Gives a lease back, if it is still one's own. */
  release(name: string): Promise<void>;
  /** Since the start. */
  counters(): GossipCounters;
};

export type GossipEvents = {
  onText(text: string): void;
  /**
   * From here on texts are heard: for the first time, or again after the connection was away. What was
   * told before may have been missed: read the facts.
   */
  onListening(): void;
};

export type GossipSubscription = { close(): void };

/** Changes with every change of the fact, and is never used twice. */
export type StateVersion = string;
export type SharedState = { text: string; version: StateVersion };

export type StatesOutcome =
  | { kind: 'states'; states: ReadonlyMap<string, SharedState> }
  | { kind: 'away' };

export type SetOutcome =
  /** Without a version where it was cleared. */
  | { kind: 'set'; version: StateVersion | undefined }
  /** Somebody else was first: what is there now. */
  | { kind: 'changed'; state: SharedState | undefined }
  /** There are as many facts as there may be. */
  | { kind: 'full' }
  | { kind: 'away' };

export type ClaimOutcome = 'claimed' | 'taken' | 'away';

export type GossipCounters = { published: number; dropped: number };

/** Facts at most. */
export const maxStates = 10_000;
/** Milliseconds that the facts outlive the last change of one of them. */
export const statesTtlMs = 3_600_000;
