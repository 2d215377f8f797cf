import { hostname } from 'node:os';
import { watchLoopDelay } from '@millrace/shared/loop-delay';

/** What a worker tells of its own process, as operators are shown it. */
export type Self = {
  host: string;
  pid: number;
  /** Seconds since the epoch. */
  started_at: number;
  /** Runs under way. */
  runs: number;
  /** Shards whose queue was paused, so that no jobs of it come here. */
  paused_shards: readonly number[];
  /** How late the event loop was, since the last time this was asked. */
  loop_delay_p99_ms: number;
};

export function createSelf({
  runs,
  pausedShards,
}: {
  runs(): number;
  pausedShards(): readonly number[];
}): () => Self {
  const startedAt = Math.round(Date.now() - process.uptime() * 1000) / 1000;
  const delay = watchLoopDelay();
  return () => {
    const { p99Ms } = delay.take();
    return {
      host: hostname(),
      pid: process.pid,
      started_at: startedAt,
      runs: runs(),
      paused_shards: pausedShards(),
      loop_delay_p99_ms: Math.round(p99Ms * 10) / 10,
    };
  };
}
