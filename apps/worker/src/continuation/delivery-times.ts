/** When readers were sent text, as far as one run knows: for the ledger. Times are milliseconds since the epoch. */
export class DeliveryTimes {
  /** The first text of the answer; undefined if an earlier run sent it. */
  firstAt: number | undefined;
  /** The longest pause before a rescue, in milliseconds; undefined without a rescue. */
  maxGapMs: number | undefined;
  /** The newest text that this run sent. */
  newestAt: number | undefined;
  private lastAt: number | undefined;
  private isResuming = false;

  /**
   * `hasDelivered`: an earlier run sent a part of the answer. No line of the log says when, so the pause is counted
   * from the start of this run, `now`.
   */
  constructor(hasDelivered: boolean, now: number) {
    if (hasDelivered) this.lastAt = now;
  }

  /** The next text is that of an attempt that continues the answer, or begins it again. */
  resuming(): void {
    this.isResuming = true;
  }

  delivered(at: number): void {
    if (this.lastAt === undefined) this.firstAt = at;
    else if (this.isResuming) this.maxGapMs = Math.max(this.maxGapMs ?? 0, at - this.lastAt);
    this.isResuming = false;
    this.lastAt = at;
    this.newestAt = at;
  }
}
