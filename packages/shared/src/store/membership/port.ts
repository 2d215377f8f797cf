/**
 * Which workers live. A worker is subscribed to its own channel while its process lives, and sends beats
 * while its event loop runs. A reaper watches both, for one shard.
 */

/** The signs of one worker in a view. */
export type WorkerSign = {
  name: string;
  /** A text that changes with every beat. No component compares clocks of two machines. */
  beat: string;
  /** Whether it is subscribed to its channel. The kernel ends the subscription with the process. */
  listening: boolean;
};

export type RegistryView = {
  /** The caller holds the lease, and may act. */
  leads: boolean;
  /** Jobs that wait or run. */
  jobs: number;
  signs: readonly WorkerSign[];
};

/** Why a worker counts as dead: `gone`, its process ended; `hung`, its event loop is blocked. */
export type DeathCause = 'gone' | 'hung';

/** One shard's workers, as a reaper sees them. */
export type Registry = {
  /** All workers at one moment. With `lead` it first takes or renews the lease, unless another reaper holds it. */
  view(lead: boolean): Promise<RegistryView>;
  /**
   * How many connections each of these workers has to Redis, by name; undefined if the reaper's Redis user must not
   * call CLIENT LIST.
   */
  connections(names: readonly string[]): Promise<Map<string, number> | undefined>;
  /** Closes every connection of a worker; no effect if the reaper's Redis user must not. */
  disconnect(name: string): Promise<void>;
  /** Removes a worker from the registry; one that still lives is back with its next beat. */
  remove(name: string): Promise<void>;
  /** Releases the lease, so that another reaper can take it at once. */
  releaseLease(): Promise<void>;
};

/** A worker's entry in the registry. */
export type Registration = {
  /** Ends the beats and removes the worker: it stops in order, and holds no jobs. */
  leave(): Promise<void>;
};

/** The events of a reaper. Handlers must not throw. */
export type ReaperEvents = {
  onDeath(worker: string, cause: DeathCause): void;
  onTakeover(worker: string, jobs: number): void;
  /** A worker that was confirmed dead is back under its name. */
  onFalseAlarm(worker: string, cause: DeathCause): void;
  onError(error: unknown): void;
};
