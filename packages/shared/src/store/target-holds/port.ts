/**
 * Targets that an operator has opened: no request goes to them until an operator closes them again. They have no end of life, so
 * that they outlive restarts of all processes.
 */
export type TargetHolds = {
  /** By target (domain/target-key.ts). Rejects while Redis is away. */
  read(): Promise<ReadonlyMap<string, TargetHold>>;
  /** The hold that is there already stays. */
  add(target: string, hold: TargetHold): Promise<'added' | 'known' | 'full'>;
  /** False if there was none. */
  remove(target: string): Promise<boolean>;
};

/** `by`: the admin's name. `at`: milliseconds since the epoch. */
export type TargetHold = { by: string; at: number };

/** Most holds of a fleet. */
export const maxHolds = 1000;

/** The text on the gossip channel after each change: workers read the holds again. Workers that miss it read them by themselves. */
export const holdsChanged = 'holds';
