import { shardOf } from '@millrace/shared/store/keys';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import { AppendLane } from './append-lane.ts';
import { StreamWriter } from './append-writer.ts';
import type { LogWriter, WriterOptions } from './append-writer.ts';

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

export type AppenderOptions = {
  log: Pick<StreamLog, 'append'>;
  /** Bytes one stream may hold here before its upstream is paused. */
  maxHeldBytes: number;
  /** A batch is in Redis, so many milliseconds after the first line of it that a reader waits for. */
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
  /** Of all streams. */
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
