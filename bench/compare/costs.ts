import type { LoadResult } from '../load/spec.ts';
import { totalOf } from '../../test/kit/proc.ts';
import type { SystemName } from '../systems/system.ts';

/** The measurement of one system under one point's load in one round. CPU in seconds. */
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
    /** The idle systems: the CPU that they took from this one. */
    others: number;
  };
  /** Requests a second that were sent, whatever the answers; only for loads at a fixed rate. */
  offered?: number;
  /** Entries added to Redis streams, including the queue's own events. */
  xadds?: number;
}

export const seconds = ({ result }: Measurement): number => result.elapsedMs / 1_000;
const micros = ({ cpu }: Measurement): number => totalOf(cpu.system) * 1e6;

/** The figures by which systems are compared. */
export const COSTS = {
  requestsPerSecond: (one) => one.result.requests / seconds(one),
  cpuPerRequest: (one) => micros(one) / one.result.requests,
  cpuPerChunk: (one) => micros(one) / one.result.tokens,
  gapP99: (one) => one.result.gaps.p99,
} satisfies Record<string, (one: Measurement) => number>;
