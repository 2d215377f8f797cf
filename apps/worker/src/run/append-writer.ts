import { kindOf } from '@millrace/shared/domain/entry';
import type { DeliveryTimes } from '@millrace/shared/domain/delivery-times';
import type { EntryId, TerminalKind } from '@millrace/shared/domain/entry';
import { jobEnd } from '@millrace/shared/domain/job-end';
import type { JobEnd, JobOutcome } from '@millrace/shared/domain/job-end';
import type { AppendItem, AppendOutcome } from '@millrace/shared/store/stream-log/port';

export type WriterOptions = {
  id: string;
  run: number;
  nonce: string;
  /** The newest line before this run. */
  prev: EntryId;
  /** Number of entries in the log, including the seal of this run. */
  entries: number;
  /** The token of the job's lock. The job ends with the terminal line; without a token it is not touched. */
  jobToken?: string | undefined;
  /** Learns when the lines of the run were sent. */
  times?: Pick<DeliveryTimes, 'sending' | 'sentAt'> | undefined;
  /** The log accepts no more writes of this run. Called once. */
  onRefused(outcome: Refusal): void;
  /** More (true) or less (false) than the bound allows is held: stop or resume reading upstream. */
  onPressure(high: boolean): void;
};

export type Refusal = Exclude<AppendOutcome, 'written' | 'duplicate' | 'job_ended'>;

/** The outcome of the job that ends with the terminal line, and the facts for the request's ledger entry (`AppendItem`). */
export type Ending = { outcome?: JobOutcome; facts?: AppendItem['facts'] | undefined };

export type LogWriter = {
  push(line: string): void;
  /** As `push`, for a line that no reader waits for: it may be sent together with later ones. */
  pushDeferred(line: string): void;
  /** Writes the terminal line, which is the last one, and what ends with it. */
  end(line: string, kind: TerminalKind, ending?: Ending): void;
  /** The terminal line is written, and the job has ended with it. */
  readonly jobEnded: boolean;
  /** Resolves when every line so far has been sent to Redis or refused; undefined if that is the case already. */
  sent(): Promise<void> | undefined;
  /** Resolves when every line so far has been written or refused; undefined if that is the case already. */
  flushed(): Promise<void> | undefined;
};

/** What a writer reports to the lane of its shard. */
export type WriterLane = {
  /** More (or, below zero, fewer) characters wait to be sent. */
  held(chars: number): void;
  /** A line was pushed. `isAwaited`: a reader waits for it. */
  pushed(writer: StreamWriter, isAwaited: boolean): void;
  /** A caller waits for the writer's lines, so they no longer wait for others. */
  hurry(writer: StreamWriter): void;
};

/** Collects the lines of one stream. */
export class StreamWriter implements LogWriter {
  jobEnded = false;
  private readonly options: WriterOptions;
  private readonly lane: WriterLane;
  private readonly maxHeldBytes: number;
  private last: EntryId;
  private entries: number;
  private lines: string[] = [];
  private heldChars = 0;
  private terminal: TerminalKind | undefined;
  private job: JobEnd | undefined;
  private facts: AppendItem['facts'];
  private isRefused = false;
  private isPressed = false;
  private inFlight = false;
  /** Callers that wait until all lines have been sent. */
  private readonly senders: (() => void)[] = [];
  /** Callers that wait until all lines have been written. */
  private readonly waiters: (() => void)[] = [];

  constructor(options: WriterOptions, lane: WriterLane, maxHeldBytes: number) {
    this.options = options;
    this.lane = lane;
    this.maxHeldBytes = maxHeldBytes;
    this.last = options.prev;
    this.entries = options.entries;
  }

  push(line: string): void {
    this.add(line, undefined, true);
  }

  pushDeferred(line: string): void {
    this.add(line, undefined, false);
  }

  end(line: string, kind: TerminalKind, { outcome, facts }: Ending = {}): void {
    this.facts = facts;
    const { jobToken } = this.options;
    if (outcome && jobToken !== undefined) this.job = jobEnd(jobToken, outcome);
    this.add(line, kind, true);
  }

  sent(): Promise<void> | undefined {
    return this.hasSent ? undefined : this.until(this.senders);
  }

  flushed(): Promise<void> | undefined {
    return this.isIdle ? undefined : this.until(this.waiters);
  }

  get hasSent(): boolean {
    return this.lines.length === 0;
  }

  private get isIdle(): boolean {
    return !this.inFlight && this.hasSent;
  }

  private until(waiters: (() => void)[]): Promise<void> {
    this.lane.hurry(this);
    return new Promise<void>((resolve) => waiters.push(resolve));
  }

  private add(line: string, terminal: TerminalKind | undefined, isAwaited: boolean): void {
    if (this.isRefused || this.terminal) return;
    this.lines.push(line);
    this.heldChars += line.length;
    this.terminal = terminal;
    this.lane.held(line.length);
    this.lane.pushed(this, isAwaited);
    if (!this.isPressed && this.heldChars > this.maxHeldBytes) {
      this.isPressed = true;
      this.options.onPressure(true);
    }
  }

  /** Takes the stream's lines for one call, up to a bound that a single giant line may exceed. */
  take(maxChars: number): { append: AppendItem; chars: number } {
    const { options, lines: all } = this;
    const { count, chars } = this.batch(maxChars);
    const lines = count === all.length ? all : all.slice(0, count);
    this.lines = count === all.length ? [] : all.slice(count);
    this.heldChars -= chars;
    this.lane.held(-chars);
    this.inFlight = true;
    // Of lines that do not fit into one call, all notes go with the first.
    options.times?.sending();
    const prev = this.last;
    const seq = (prev.run === options.run ? prev.seq : 0) + count;
    this.last = { run: options.run, seq };
    const { entries, last } = this;
    const append: AppendItem = { id: options.id, nonce: options.nonce, prev, entries, last, lines };
    this.entries += 1;
    if (this.terminal && this.hasSent) {
      append.terminal = this.terminal;
      if (this.job) append.job = this.job;
      if (this.facts !== undefined) append.facts = this.facts;
    }
    return { append, chars };
  }

  /** The lines of one call, from the first one on. */
  private batch(maxChars: number): { count: number; chars: number } {
    const { lines, terminal } = this;
    let count = 0;
    let chars = 0;
    while (count < lines.length && (count === 0 || chars < maxChars)) {
      chars += lines[count]?.length ?? 0;
      count += 1;
    }
    // A result and its end are written in one call: a worker that takes over in between would find an answer
    // without an end. The result is followed by its attempt's end and the terminal line.
    const isSplit = count < lines.length;
    if (isSplit && terminal && lines.slice(0, count).some(isResult)) {
      for (; count < lines.length; count++) chars += lines[count]?.length ?? 0;
    }
    return { count, chars };
  }

  /** The call with the taken lines has been made. */
  calling(): void {
    if (this.hasSent) wakeAll(this.senders);
  }

  /** The call has been answered. `at`: the time of its entries. */
  settle(outcome: AppendOutcome, at: number): void {
    this.inFlight = false;
    if (isWritten(outcome)) this.options.times?.sentAt(at);
    if (outcome === 'job_ended') this.jobEnded = true;
    else if (!isWritten(outcome)) {
      this.isRefused = true;
      this.lines = [];
      this.lane.held(-this.heldChars);
      this.heldChars = 0;
      this.options.onRefused(outcome);
    }
    if (this.isPressed && this.heldChars < this.maxHeldBytes / 2) {
      this.isPressed = false;
      this.options.onPressure(false);
    }
    if (this.isRefused) wakeAll(this.senders);
    if (this.isIdle) wakeAll(this.waiters);
  }
}

const isWritten = (outcome: AppendOutcome): outcome is Exclude<AppendOutcome, Refusal> =>
  outcome === 'written' || outcome === 'duplicate' || outcome === 'job_ended';

const isResult = (line: string): boolean => kindOf(line) === 'result';

function wakeAll(waiters: (() => void)[]): void {
  for (const wake of waiters.splice(0)) wake();
}
