/**
 * What needs an operator's attention, as the control planes of a fleet share it: when each condition was seen first, and whether
 * its alert was handed over for delivery. One control plane writes at a time, the one that holds the lease.
 */
export type KeptCondition = {
  /** When it was seen first and last; milliseconds since the epoch. */
  readonly firstAt: number;
  readonly seenAt: number;
  /** When it began to be kept, which may be after it began; absent in a record of an earlier version. */
  readonly firedAt?: number | undefined;
  /** Whether the alert that it fired is among the deliveries. */
  readonly isAnnounced: boolean;
  /** The condition as it was seen last. */
  readonly condition: KeptText;
};

export type KeptText = {
  readonly code: string;
  readonly subject: string;
  readonly severity: string;
  readonly title: string;
  readonly detail: string;
  readonly link: string;
};

export type AttentionStore = {
  /** Takes or renews the lease; whether this control plane holds it now. */
  lead(): Promise<boolean>;
  /** By the ids of the conditions. */
  read(): Promise<Map<string, KeptCondition>>;
  write(changes: ReadonlyMap<string, KeptCondition>, removed: readonly string[]): Promise<void>;
};
