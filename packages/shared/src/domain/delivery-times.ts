/**
 * When the readers of a stream were sent text, and how long they waited at a seam: from the last text before it to the first
 * behind it, by the times of the log's entries. Everything that reports a first token or a gap takes it from here. Times are
 * milliseconds since the epoch.
 *
 * A run notes what it writes, and the time follows with the append that writes it (`sending`, `sentAt`); what is read from a
 * log has its time already (`readAt`).
 */
export class DeliveryTimes {
  /** The first text of the answer; undefined before any, and if the log does not say when it was sent. */
  firstAt: number | undefined;
  newestAt: number | undefined;
  /** The longest gap in milliseconds; undefined while no other attempt has continued the answer, or begun it again. */
  maxGapMs: number | undefined;
  private hasText = false;
  private isResuming = false;
  /** What was noted and has no time yet, without what repeats the note before it. */
  private noted: Note[] = [];
  /** Notes of the append that is under way. */
  private underWay: Note[] = [];

  /** A reader gets something to see. */
  delivered(): void {
    if (this.noted.at(-1) !== 'text') this.noted.push('text');
  }

  /** The next text is that of an attempt that continues the answer, or begins it again. */
  resuming(): void {
    if (this.noted.at(-1) !== 'seam') this.noted.push('seam');
  }

  /** An append takes what was noted so far. */
  sending(): void {
    if (this.noted.length === 0) return;
    this.underWay.push(...this.noted);
    this.noted = [];
  }

  /** The append that was under way has written its lines with this time. */
  sentAt(at: number): void {
    for (const note of this.underWay) this.apply(note, at);
    this.underWay = [];
  }

  /** What was noted was read from an entry with this time; undefined: the entry has none. */
  readAt(at: number | undefined): void {
    for (const note of this.noted) this.apply(note, at);
    this.noted = [];
  }

  /** What will be known when the append that is under way succeeds at this time. */
  ifSentAt(at: number): Pick<DeliveryTimes, 'firstAt' | 'maxGapMs'> {
    const then = this.copy();
    then.sentAt(at);
    return then;
  }

  copy(): DeliveryTimes {
    const copy = Object.assign(new DeliveryTimes(), this);
    copy.noted = [...this.noted];
    copy.underWay = [...this.underWay];
    return copy;
  }

  private apply(note: Note, at: number | undefined): void {
    if (note === 'seam') {
      this.isResuming = this.hasText;
      return;
    }
    if (!this.hasText) this.firstAt = at;
    if (this.isResuming && this.newestAt !== undefined && at !== undefined) {
      this.maxGapMs = Math.max(this.maxGapMs ?? 0, at - this.newestAt);
    }
    this.hasText = true;
    this.isResuming = false;
    this.newestAt = at;
  }
}

type Note = 'text' | 'seam';
