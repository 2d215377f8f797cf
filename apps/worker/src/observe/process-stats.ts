import { hostname } from 'node:os';
import type { LoopDelay } from '@millrace/shared/runtime/loop-delay';

/** What a worker tells of its own process, as operators are shown it. */
export type ProcessStats = {
  host: string;
  pid: number;
  /** Seconds since the epoch. */
  started_at: number;
  /** Runs under way. */
  runs: number;
  /** Shards whose queue was paused, so that no jobs of it come here. */
  paused_shards: readonly number[];
  /** How late the event loop was while there were runs, at its worst since the last time this was asked. */
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
