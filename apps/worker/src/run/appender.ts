import { shardOf } from '@millrace/shared/store/keys';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import { AppendLane } from './append-lane.ts';
import { StreamWriter } from './append-writer.ts';
import type { LogWriter, WriterOptions } from './append-writer.ts';

/**
 * Collects the lines that one turn of the event loop produced for all streams, and appends them with one call
 * to Redis per shard, one call in flight at a time. At low load the first token is sent at once. Under load
 * batches grow while the previous call is in flight, and during a short wait between two calls: most of the
 * cost of a call (here, in Redis and in the ingress) does not depend on the number of lines.
 */
export type Appender = {
  open(options: WriterOptions): LogWriter;
  /** Calls in flight or waiting to be retried. */
  readonly busy: boolean;
  /** Characters of all streams that wait to be sent to Redis. */
  readonly heldChars: number;
};

export type AppenderOptions = {
  log: Pick<StreamLog, 'append'>;
  /** Bytes that one stream may hold before its upstream is paused. */
  maxHeldBytes: number;
  /** A batch is in Redis, `lagMs` after the first line of it that a reader waits for. */
  onAppended?: (lagMs: number, now: number) => void;
  onError: (error: unknown) => void;
};

export function createAppender({
  log,
  maxHeldBytes,
  onAppended,
  onError,
}: AppenderOptions): Appender {
  const lanes = new Map<number, AppendLane>();
  /** Characters held for all streams. */
  let heldChars = 0;
  const held = (chars: number): void => void (heldChars += chars);

  function laneOf(shard: number): AppendLane {
    const lane = lanes.get(shard) ?? new AppendLane(shard, { log, held, onAppended, onError });
    lanes.set(shard, lane);
    return lane;
  }

  return {
    get heldChars() {
      return heldChars;
    },
    get busy() {
      return [...lanes.values()].some((lane) => lane.busy);
    },
    open: (options) => new StreamWriter(options, laneOf(shardOf(options.id)), maxHeldBytes),
  };
}
