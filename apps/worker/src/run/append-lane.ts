import type { AppendItem, AppendOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import { isDamage, passesByItself } from '@millrace/shared/store/redis-failure';
import type { StreamWriter, WriterLane } from './append-writer.ts';

export type LaneOptions = {
  log: Pick<StreamLog, 'append'>;
  /** More (or, below zero, fewer) characters wait to be sent. */
  held(chars: number): void;
  /** A batch is in Redis, `lagMs` after the first line of it that a reader waits for. */
  onAppended?: ((lagMs: number, now: number) => void) | undefined;
  onError: (error: unknown) => void;
};

/** Approximate characters of one call: while Redis runs a script, all other commands wait. */
const maxBatchChars = 512 * 1024;
/** Most streams in one call, for the same reason. */
const maxBatchStreams = 400;
/** Above this many active streams in a window, there is a minimum distance between calls. */
const crowd = 40;
const windowMs = 10;
/** That minimum distance in milliseconds: a tenth of the interval between the chunks of a fast model. */
const gatherMs = 2;
/** Milliseconds that a line for which no reader waits may wait for others. */
const idleWaitMs = 5;
/** Milliseconds before a call that Redis answered with an error is tried again. */
const retryDelayMs = 50;

/** Errors of a single item, of a kind that is not temporary, after which its request fails: about a second. */
const mostFailures = 20;

/** Makes the calls of one shard, one at a time. */
export class AppendLane implements WriterLane {
  private readonly shard: number;
  private readonly options: LaneOptions;
  /** Streams that have lines to send. */
  private readonly dirty = new Set<StreamWriter>();
  private readonly arrivals = new ArrivalCounter();
  private isCalling = false;
  /** A call is about to be made: `soon` in this turn, `later` by the timer. */
  private due: 'no' | 'later' | 'soon' = 'no';
  private timer: NodeJS.Timeout | undefined;
  private sentAt = 0;
  /** Since when a line that a reader waits for has been in no call; NaN: there is none. */
  private waitsSince = NaN;

  constructor(shard: number, options: LaneOptions) {
    this.shard = shard;
    this.options = options;
  }

  get busy(): boolean {
    return this.isCalling || this.dirty.size > 0;
  }

  held(chars: number): void {
    this.options.held(chars);
  }

  pushed(writer: StreamWriter, isAwaited: boolean): void {
    if (!this.dirty.has(writer)) {
      this.dirty.add(writer);
      this.arrivals.count(performance.now());
    }
    if (isAwaited && Number.isNaN(this.waitsSince)) this.waitsSince = performance.now();
    this.schedule(isAwaited);
  }

  hurry(writer: StreamWriter): void {
    if (this.dirty.has(writer)) this.schedule(true);
  }

  private schedule(isAwaited: boolean): void {
    if (this.isCalling || this.due === 'soon') return;
    const wait = isAwaited ? this.distance() : idleWaitMs;
    if (wait <= 0) {
      clearTimeout(this.timer);
      this.due = 'soon';
      // After the poll phase, so that the call includes everything that the sockets brought in this turn.
      setImmediate(go, this);
    } else if (this.due === 'no') {
      this.due = 'later';
      this.timer = setTimeout(go, wait, this);
    }
  }

  /** Milliseconds until the next call should be made. */
  private distance(): number {
    return this.arrivals.most < crowd ? 0 : this.sentAt + gatherMs - performance.now();
  }

  /** Makes the call that is due. */
  go(): void {
    this.due = 'no';
    if (!this.isCalling) void this.call();
  }

  private async call(): Promise<void> {
    this.isCalling = true;
    this.sentAt = performance.now();
    const { waitsSince } = this;
    this.waitsSince = NaN;
    await this.sendBatch();
    const { onAppended } = this.options;
    if (onAppended && !Number.isNaN(waitsSince)) {
      const now = performance.now();
      onAppended(now - waitsSince, now);
    }
    this.isCalling = false;
    if (this.dirty.size > 0) this.schedule(true);
  }

  private async sendBatch(): Promise<void> {
    const writers: StreamWriter[] = [];
    const items: AppendItem[] = [];
    let chars = 0;
    for (const writer of this.dirty) {
      if (writers.length === maxBatchStreams || chars >= maxBatchChars) break;
      this.dirty.delete(writer);
      const item = writer.take(maxBatchChars);
      writers.push(writer);
      items.push(item.append);
      chars += item.chars;
    }
    const answered = this.appendUntilAnswered(items);
    for (const writer of writers) writer.calling();
    const outcomes = await answered;
    for (const [i, writer] of writers.entries()) {
      const { outcome, at } = outcomes[i] ?? { outcome: 'gone', at: 0 };
      this.settle(writer, outcome, at);
    }
  }

  private settle(writer: StreamWriter, outcome: AppendOutcome, at: number): void {
    try {
      writer.settle(outcome, at);
    } catch (error) {
      // An error in a run's callback must not stop the lane.
      this.options.onError(error);
    } finally {
      if (writer.hasSent) this.dirty.delete(writer);
      else this.dirty.add(writer);
    }
  }

  /**
   * Repeating a call is safe: Redis distinguishes a write that succeeded before from a fenced one. An error
   * that is not temporary may be about a single item: then each item is sent alone, and one that fails
   * `mostFailures` times fails its own request.
   */
  private async appendUntilAnswered(items: AppendItem[]): Promise<Answered[]> {
    const { log, onError } = this.options;
    for (let failures = 1; ; failures += 1) {
      const at = Date.now();
      try {
        const outcomes = await log.append(this.shard, items, at);
        return outcomes.map((outcome) => ({ outcome, at }));
      } catch (error) {
        const mayPass = passesByItself(error);
        if (!mayPass && items.length > 1) {
          const alone = await Promise.all(items.map((one) => this.appendUntilAnswered([one])));
          return alone.flat();
        }
        const isDamaged = isDamage(error) || (!mayPass && failures >= mostFailures);
        if (isDamaged) return [{ outcome: 'damaged', at }];
        onError(error);
        await new Promise((resolve) => setTimeout(resolve, retryDelayMs));
      }
    }
  }
}

/** `at`: the time of the call that was answered. */
type Answered = { outcome: AppendOutcome; at: number };

const go = (lane: AppendLane): void => lane.go();

/** Counts the streams that got lines in each window. */
class ArrivalCounter {
  private now = 0;
  private before = 0;
  private startedAt = 0;

  count(at: number): void {
    if (at - this.startedAt >= windowMs) {
      // An older window does not count.
      this.before = at - this.startedAt < 2 * windowMs ? this.now : 0;
      this.now = 0;
      this.startedAt = at;
    }
    this.now += 1;
  }

  /** The count of this window or the one before, whichever is larger. */
  get most(): number {
    return Math.max(this.now, this.before);
  }
}
