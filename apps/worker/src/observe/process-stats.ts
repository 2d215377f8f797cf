import { hostname } from 'node:os';
import type { LoopDelay } from '@millrace/shared/runtime/loop-delay';

/** What a worker reports about its process, as operators see it. */
export type ProcessStats = {
  host: string;
  pid: number;
  /** Seconds since the epoch. */
  started_at: number;
  /** Runs under way. */
  runs: number;
  /** Shards with a paused queue: this worker gets no jobs of them. */
  paused_shards: readonly number[];
  /** The largest event loop delay while there were runs, since the last report. */
  loop_delay_max_ms: number;
};

export function createProcessStats({
  loop,
  runs,
  pausedShards,
}: {
  loop: Pick<LoopDelay, 'takeWorst'>;
  runs(): number;
  pausedShards(): readonly number[];
}): () => ProcessStats {
  const startedAt = Math.round(Date.now() - process.uptime() * 1000) / 1000;
  return () => ({
    host: hostname(),
    pid: process.pid,
    started_at: startedAt,
    runs: runs(),
    paused_shards: pausedShards(),
    loop_delay_max_ms: Math.round(loop.takeWorst() * 10) / 10,
  });
}
