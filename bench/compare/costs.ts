import type { LoadResult } from '../load/spec.ts';
import { totalOf } from '../../test/kit/proc.ts';
import type { SystemName } from '../systems/system.ts';

/** What one system did under one point's load in one round. CPU in seconds. */
export interface Measurement {
  point: string;
  round: number;
  system: SystemName;
  result: LoadResult;
  cpu: {
    /** By role, all processes of the system. */
    system: Record<string, number>;
    generator: number;
    upstream: number;
    /** The systems whose turn it was not: what their idling took from this one. */
    others: number;
  };
  /** Requests a second that were sent, whatever came back; only where that was the load. */
  offered?: number;
  /** Entries that were added to Redis streams, the queue's own events among them. */
  xadds?: number;
}

export const seconds = ({ result }: Measurement): number => result.elapsedMs / 1_000;
const micros = ({ cpu }: Measurement): number => totalOf(cpu.system) * 1e6;

/** What systems are compared by. */
export const COSTS = {
  requestsPerSecond: (one) => one.result.requests / seconds(one),
  cpuPerRequest: (one) => micros(one) / one.result.requests,
  cpuPerChunk: (one) => micros(one) / one.result.tokens,
  gapP99: (one) => one.result.gaps.p99,
} satisfies Record<string, (one: Measurement) => number>;
