/**
 * Who is there. A worker listens on its own channel as long as its process lives, and beats as long as
 * its event loop turns. A reaper looks at both, for one shard.
 */

/** What one look shows of one worker, at one moment in Redis. */
export type WorkerSign = {
  name: string;
  /** Any text that changes with every beat: clocks of two machines are never compared. */
  beat: string;
  /** It is subscribed to its channel. The kernel ends that with the process. */
  listening: boolean;
};

export type RegistryView = {
  /** Whoever looked holds the lease: it is the one to act. */
  leads: boolean;
  /** Jobs that wait or run: none of them is lost with a worker, but somebody waits for each. */
  jobs: number;
  signs: readonly WorkerSign[];
};

/** Why a worker's jobs are taken: `gone`, its process ended; `hung`, its event loop stands still. */
export type DeathCause = 'gone' | 'hung';

/** One shard's workers as a reaper sees them. */
export type Registry = {
  /** Looks. With `lead` it first takes or renews the lease, where nobody else has it. */
  view(lead: boolean): Promise<RegistryView>;
  /**
   * How many connections Redis has of each of these workers, by name; undefined where the reaper's
   * user may not know.
   */
  connections(names: readonly string[]): Promise<Map<string, number> | undefined>;
  /** Closes every connection of a worker; nothing where the reaper's user may not. */
  disconnect(name: string): Promise<void>;
  /** Strikes a worker off the list; one that still lives is back with its next beat. */
  remove(name: string): Promise<void>;
  /** Gives the lease back, for the next one to have it at once. */
  releaseLease(): Promise<void>;
};

/** A worker's own part. */
export type Registration = {
  /** Ends the beats and takes the worker off the list: it goes by itself, and holds no jobs. */
  leave(): Promise<void>;
};

/** What a reaper tells; it never throws into it. */
export type ReaperEvents = {
  onDeath(worker: string, cause: DeathCause): void;
  onTakeover(worker: string, jobs: number): void;
  /** A worker that was taken for dead is back under its name. */
  onFalseAlarm(worker: string, cause: DeathCause): void;
  onError(error: unknown): void;
};
