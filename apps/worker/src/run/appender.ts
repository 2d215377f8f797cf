import { kindOf } from '@millrace/shared/domain/entry';
import type { EntryId, TerminalKind } from '@millrace/shared/domain/entry';
import type { AppendItem, AppendOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import { shardOf } from '@millrace/shared/store/keys';
import { jobEnd } from '@millrace/shared/domain/job-end';
import type { JobEnd, JobOutcome } from '@millrace/shared/domain/job-end';
import { isDamage, passesByItself } from '@millrace/shared/store/redis-failure';

/**
 * Gathers the lines of every stream that one turn of the event loop brought and appends them with
 * one call to Redis, one call in flight per shard. At rest the first token leaves at once. Under load
 * the batches grow while the call before them is under way, and by a short wait between two calls:
 * most of a call's cost, here, in Redis and at the ingress, is the same for one line and for fifty.
 */
export type Appender = {
  open(options: WriterOptions): LogWriter;
  /** Calls in flight or waiting to be retried. */
  readonly busy: boolean;
  /** Characters of all streams that wait to be sent. */
  readonly heldChars: number;
};

export type WriterOptions = {
  id: string;
  run: number;
  nonce: string;
  /** The newest line before this run. */
  prev: EntryId;
  /** That the log has, with the seal of this run. */
  entries: number;
  /** Of the lock of the request's job, which ends with the terminal line; without it, it is left as it is. */
  jobToken?: string | undefined;
  /** The log takes nothing more from this run. Called once. */
  onRefused(outcome: Refusal): void;
  /** More (true) or less (false) is held than the bound allows: stop or go on reading upstream. */
  onPressure(high: boolean): void;
};

export type Refusal = Exclude<AppendOutcome, 'written' | 'duplicate' | 'job_ended'>;

export type LogWriter = {
  push(line: string): void;
  /** As `push`, for a line that no reader waits for: it may go with those that follow. */
  pushDeferred(line: string): void;
  /** The terminal line: the last one, and what becomes of the job with it. */
  end(line: string, kind: TerminalKind, outcome?: JobOutcome): void;
  /** The terminal line is written, and the job has ended with it. */
  readonly jobEnded: boolean;
  /** Resolves when everything pushed so far is on its way to Redis, or refused; undefined: it is. */
  sent(): Promise<void> | undefined;
  /** Resolves when everything pushed so far is written, or refused; undefined: it is. */
  flushed(): Promise<void> | undefined;
};

export type AppenderOptions = {
  log: Pick<StreamLog, 'append'>;
  /** Bytes one stream may hold here before its upstream is told to pause. */
  maxHeldBytes: number;
  /** A batch is in Redis, so many milliseconds after the first line of it that a reader waits for. */
  onAppended?: (lagMs: number, now: number) => void;
  onError: (error: unknown) => void;
};

/** Characters in one call, about: Redis runs a script to its end, and everybody else waits. */
const maxBatchChars = 512 * 1024;
/** Streams in one call, for the same reason. */
const maxBatchStreams = 400;
/** Streams that get new lines within one window, above which calls keep their distance. */
const crowd = 40;
const windowMs = 10;
/** Milliseconds between two calls then: a tenth of the pace of a fast model. */
const gatherMs = 2;
/** Milliseconds that a line which nobody waits for may wait for company. */
const idleWaitMs = 5;
/** Milliseconds before a call that Redis answered with an error is tried again. */
const retryDelayMs = 50;

/** Errors of one item alone, of a kind that does not pass by itself, until its request fails: a second. */
const mostFailures = 20;

type Writer = WriterOptions & {
  shard: number;
  last: EntryId;
  lines: string[];
  heldChars: number;
  terminal: TerminalKind | undefined;
  job: JobEnd | undefined;
  jobEnded: boolean;
  refused: boolean;
  pressed: boolean;
  inFlight: boolean;
  /** Wait until all lines are on their way. */
  senders: (() => void)[];
  /** Wait until all lines are written. */
  waiters: (() => void)[];
};

type Lane = {
  dirty: Set<Writer>;
  busy: boolean;
  /** A call is about to be made: `soon` in this turn, `later` by the timer. */
  due: 'no' | 'later' | 'soon';
  timer: NodeJS.Timeout | undefined;
  sentAt: number;
  /** Since when a line that a reader waits for is not in a call; NaN: there is none. */
  waitsSince: number;
  /** Streams that became dirty in this window and in the one before. */
  dirtied: number;
  dirtiedBefore: number;
  windowAt: number;
};

export function createAppender({
  log,
  maxHeldBytes,
  onAppended,
  onError,
}: AppenderOptions): Appender {
  const lanes = new Map<number, Lane>();
  /** Of all streams. */
  let heldChars = 0;

  function laneOf(shard: number): Lane {
    let lane = lanes.get(shard);
    if (!lane) {
      lane = {
        dirty: new Set(),
        busy: false,
        due: 'no',
        timer: undefined,
        sentAt: 0,
        waitsSince: NaN,
        dirtied: 0,
        dirtiedBefore: 0,
        windowAt: 0,
      };
      lanes.set(shard, lane);
    }
    return lane;
  }

  function schedule(shard: number, lane: Lane, urgent: boolean): void {
    if (lane.busy || lane.due === 'soon') return;
    const wait = urgent ? distance(lane) : idleWaitMs;
    if (wait <= 0) {
      clearTimeout(lane.timer);
      lane.due = 'soon';
      // After the poll phase: whatever the sockets brought in this turn goes along.
      setImmediate(go, shard, lane);
    } else if (lane.due === 'no') {
      lane.due = 'later';
      lane.timer = setTimeout(go, wait, shard, lane);
    }
  }

  function go(shard: number, lane: Lane): void {
    lane.due = 'no';
    if (!lane.busy) void drain(shard, lane);
  }

  async function drain(shard: number, lane: Lane): Promise<void> {
    lane.busy = true;
    lane.sentAt = performance.now();
    const { waitsSince } = lane;
    lane.waitsSince = NaN;
    await sendBatch(shard, lane);
    if (onAppended && !Number.isNaN(waitsSince)) {
      const now = performance.now();
      onAppended(now - waitsSince, now);
    }
    lane.busy = false;
    if (lane.dirty.size > 0) schedule(shard, lane, true);
  }

  async function sendBatch(shard: number, lane: Lane): Promise<void> {
    const writers: Writer[] = [];
    const items: AppendItem[] = [];
    let chars = 0;
    for (const writer of lane.dirty) {
      if (writers.length === maxBatchStreams || chars >= maxBatchChars) break;
      lane.dirty.delete(writer);
      const item = takeItem(writer, maxBatchChars);
      heldChars -= item.chars;
      writer.inFlight = true;
      writers.push(writer);
      items.push(item.append);
      chars += item.chars;
    }
    const answered = appendUntilAnswered(shard, items);
    for (const writer of writers) if (writer.lines.length === 0) wakeAll(writer.senders);
    const outcomes = await answered;
    for (const [i, writer] of writers.entries()) {
      try {
        settle(lane, writer, outcomes[i] ?? 'gone');
      } catch (error) {
        // A run's own trouble is not the lane's.
        onError(error);
      }
    }
  }

  /**
   * The same items again are safe: Redis tells a write that came through before from a fenced one. An error
   * that does not pass by itself may be about one of them: each goes alone then, and one that fails again
   * and again fails its own request.
   */
  async function appendUntilAnswered(shard: number, items: AppendItem[]): Promise<AppendOutcome[]> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await log.append(shard, items);
      } catch (error) {
        const mayPass = passesByItself(error);
        if (!mayPass && items.length > 1) {
          const alone = await Promise.all(items.map((one) => appendUntilAnswered(shard, [one])));
          return alone.flat();
        }
        const isDamaged = isDamage(error) || (!mayPass && failures >= mostFailures);
        if (isDamaged) return ['damaged'];
        onError(error);
        await new Promise((resolve) => setTimeout(resolve, retryDelayMs));
      }
    }
  }

  function settle(lane: Lane, writer: Writer, outcome: AppendOutcome): void {
    writer.inFlight = false;
    if (outcome === 'job_ended') writer.jobEnded = true;
    else if (outcome !== 'written' && outcome !== 'duplicate') {
      writer.refused = true;
      writer.lines = [];
      heldChars -= writer.heldChars;
      writer.heldChars = 0;
      lane.dirty.delete(writer);
      writer.onRefused(outcome);
    }
    if (writer.pressed && writer.heldChars < maxHeldBytes / 2) {
      writer.pressed = false;
      writer.onPressure(false);
    }
    if (writer.lines.length > 0) lane.dirty.add(writer);
    if (writer.refused) wakeAll(writer.senders);
    if (isIdle(writer)) wakeAll(writer.waiters);
  }

  /** Ends when that is so; lines that wait for company do so no longer, as something waits for them now. */
  function until(
    writer: Writer,
    isDone: (writer: Writer) => boolean,
    waiters: (() => void)[],
  ): Promise<void> | undefined {
    if (isDone(writer)) return undefined;
    const lane = laneOf(writer.shard);
    if (lane.dirty.has(writer)) schedule(writer.shard, lane, true);
    return new Promise<void>((resolve) => waiters.push(resolve));
  }

  function push(writer: Writer, line: string, terminal: TerminalKind | undefined, urgent: boolean) {
    if (writer.refused || writer.terminal) return;
    writer.lines.push(line);
    writer.heldChars += line.length;
    heldChars += line.length;
    writer.terminal = terminal;
    const lane = laneOf(writer.shard);
    if (!lane.dirty.has(writer)) {
      lane.dirty.add(writer);
      countDirtied(lane);
    }
    if (urgent && Number.isNaN(lane.waitsSince)) lane.waitsSince = performance.now();
    schedule(writer.shard, lane, urgent);
    if (!writer.pressed && writer.heldChars > maxHeldBytes) {
      writer.pressed = true;
      writer.onPressure(true);
    }
  }

  return {
    get heldChars() {
      return heldChars;
    },
    get busy() {
      return [...lanes.values()].some((lane) => lane.busy || lane.dirty.size > 0);
    },
    open(options) {
      const writer: Writer = {
        ...options,
        shard: shardOf(options.id),
        last: options.prev,
        lines: [],
        heldChars: 0,
        terminal: undefined,
        job: undefined,
        jobEnded: false,
        refused: false,
        pressed: false,
        inFlight: false,
        senders: [],
        waiters: [],
      };
      return {
        push: (line) => push(writer, line, undefined, true),
        pushDeferred: (line) => push(writer, line, undefined, false),
        end(line, kind, outcome) {
          const { jobToken } = options;
          if (outcome && jobToken !== undefined) writer.job = jobEnd(jobToken, outcome);
          push(writer, line, kind, true);
        },
        get jobEnded() {
          return writer.jobEnded;
        },
        sent: () => until(writer, hasSent, writer.senders),
        flushed: () => until(writer, isIdle, writer.waiters),
      };
    },
  };
}

function countDirtied(lane: Lane): void {
  const now = performance.now();
  if (now - lane.windowAt >= windowMs) {
    // A window that was long ago says nothing of now.
    lane.dirtiedBefore = now - lane.windowAt < 2 * windowMs ? lane.dirtied : 0;
    lane.dirtied = 0;
    lane.windowAt = now;
  }
  lane.dirtied += 1;
}

/** Milliseconds until the next call should be made. */
function distance(lane: Lane): number {
  if (Math.max(lane.dirtied, lane.dirtiedBefore) < crowd) return 0;
  return lane.sentAt + gatherMs - performance.now();
}

const hasSent = (writer: Writer): boolean => writer.lines.length === 0;

const isIdle = (writer: Writer): boolean => !writer.inFlight && writer.lines.length === 0;

function wakeAll(waiters: (() => void)[]): void {
  for (const wake of waiters.splice(0)) wake();
}

const isResult = (line: string): boolean => kindOf(line) === 'result';

/** Takes what the stream has for one call: all of it, but for a bound that one giant line may pass. */
function takeItem(writer: Writer, maxChars: number): { append: AppendItem; chars: number } {
  let count = 0;
  let chars = 0;
  while (count < writer.lines.length && (count === 0 || chars < maxChars)) {
    chars += writer.lines[count]?.length ?? 0;
    count += 1;
  }
  // A whole answer and its end are written together: a worker that takes over in between would find an
  // answer without an end. What follows the answer is its ledger entry and the terminal line.
  const isSplit = count < writer.lines.length;
  if (isSplit && writer.terminal && writer.lines.slice(0, count).some(isResult)) {
    for (; count < writer.lines.length; count++) chars += writer.lines[count]?.length ?? 0;
  }
  const lines = count === writer.lines.length ? writer.lines : writer.lines.slice(0, count);
  writer.lines = count === writer.lines.length ? [] : writer.lines.slice(count);
  writer.heldChars -= chars;
  const prev = writer.last;
  const seq = (prev.run === writer.run ? prev.seq : 0) + count;
  writer.last = { run: writer.run, seq };
  const { id, nonce, last, entries } = writer;
  const append: AppendItem = { id, nonce, prev, entries, last, lines };
  writer.entries += 1;
  if (writer.terminal && writer.lines.length === 0) {
    append.terminal = writer.terminal;
    if (writer.job) append.job = writer.job;
  }
  return { append, chars };
}
