import { setTimeout as sleep } from 'node:timers/promises';
import type { Arrival, LoadResult } from '../load/spec.ts';
import { FIRST_WARMUP, type Point } from './plan.ts';
import { cpuBetween, type CpuReading, readCpu, totalOf } from '../proc.ts';
import { readRedis } from '../redis.ts';
import type { Rig } from '../rig.ts';
import type { System, SystemName } from '../systems/system.ts';

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
  /** Entries that were added to Redis streams, the queue's own events among them. */
  xadds?: number;
}

/** Between two loads: the last answers' clean-up belongs to nobody's figures. */
const SETTLE_MS = 150;

/** Every system in turn, point by point, round by round. Rejects when `signal` fires. */
export async function measureAll(
  rig: Rig,
  points: Point[],
  rounds: number,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const system of rig.systems) {
    onProgress(`warming up ${system.name}`);
    await drive(rig, system, 'burst', FIRST_WARMUP, 0, signal);
  }
  for (let round = 1; round <= rounds; round++) {
    for (const point of points) {
      // Each round begins with another one, so that no system always runs behind the same neighbour.
      for (const system of rotated(rig.systems, round - 1)) {
        onProgress(`round ${round} of ${rounds}: ${point.label}, ${system.name}`);
        measurements.push(await measure(rig, system, point, round, signal));
      }
    }
  }
  return measurements;
}

function rotated<T>(all: readonly T[], by: number): T[] {
  const at = by % all.length;
  return [...all.slice(at), ...all.slice(0, at)];
}

async function measure(
  rig: Rig,
  system: System,
  point: Point,
  round: number,
  signal: AbortSignal,
): Promise<Measurement> {
  await drive(rig, system, 'burst', point.warmup, 0, signal);
  await sleep(SETTLE_MS, undefined, { signal });
  const before = await readAll(rig);
  const redisBefore = system.redis && (await readRedis(system.redis.url));
  const result = await drive(rig, system, point.answer, point.arrival, point.stallMs, signal);
  // What a system still does after the last byte (settling a job, say) is part of its cost.
  await sleep(SETTLE_MS, undefined, { signal });
  const after = await readAll(rig);
  const redisAfter = system.redis && (await readRedis(system.redis.url));
  const used = new Map(
    [...after].map(([key, cpu]) => [key, cpuBetween(before.get(key) ?? {}, cpu)]),
  );
  const others = rig.systems.filter(({ name }) => name !== system.name);
  return {
    point: point.label,
    round,
    system: system.name,
    result,
    cpu: {
      system: used.get(system.name) ?? {},
      generator: totalOf(used.get('generator') ?? {}),
      upstream: totalOf(used.get('upstream') ?? {}),
      others: others.reduce((sum, { name }) => sum + totalOf(used.get(name) ?? {}), 0),
    },
    ...(redisBefore && redisAfter && { xadds: redisAfter.xadds - redisBefore.xadds }),
  };
}

function drive(
  rig: Rig,
  system: System,
  answer: Point['answer'],
  arrival: Arrival,
  stallMs: number,
  signal: AbortSignal,
): Promise<LoadResult> {
  const { origin, headers, models } = system;
  const spec = {
    origin,
    headers,
    model: models[answer],
    tokens: rig.tokens[answer],
    arrival,
    stallMs,
  };
  return rig.generator.run(spec, signal);
}

async function readAll(rig: Rig): Promise<Map<string, CpuReading>> {
  const roots: [string, number | undefined][] = [
    ['generator', rig.generator.pid],
    ['upstream', rig.upstream.pid],
    ...rig.systems.map(({ name, pid }): [string, number | undefined] => [name, pid]),
  ];
  return new Map(
    await Promise.all(roots.map(async ([key, pid]) => [key, await readCpu(pid)] as const)),
  );
}
