import { setTimeout as sleep } from 'node:timers/promises';
import type { Arrival, Body, LoadResult } from '../load/spec.ts';
import { COSTS, type Measurement } from './costs.ts';
import { CAPACITY, FIRST_WARMUP, type Point } from './plan.ts';
import { cpuBetween, type CpuReading, readCpu, totalOf } from '../../test/kit/proc.ts';
import { readRedis } from '../redis.ts';
import type { Rig } from '../rig.ts';
import { CHAT_PATH, type System, type SystemName } from '../systems/system.ts';

/** Between two loads: the last answers' clean-up must not count in any figure. */
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
    await drive(rig, system, { answer: 'burst', arrival: FIRST_WARMUP }, signal);
  }
  for (let round = 1; round <= rounds; round++) {
    for (const point of points) {
      // Each round begins with another system, so that none always runs after the same one.
      for (const system of rotated(rig.systems, round - 1)) {
        if (point.skips?.includes(system.name)) continue;
        onProgress(`round ${round} of ${rounds}: ${point.label}, ${system.name}`);
        const arrival = arrivalOf(point, capacityOf(measurements, round, system.name));
        measurements.push(await measure(rig, system, { ...point, arrival }, round, signal));
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
  point: Point & { arrival: Arrival },
  round: number,
  signal: AbortSignal,
): Promise<Measurement> {
  await drive(rig, system, { answer: 'burst', arrival: point.warmup }, signal);
  await sleep(SETTLE_MS, undefined, { signal });
  const before = await readAll(rig);
  const redisBefore = system.redis && (await readRedis(system.redis.url));
  const result = await drive(rig, system, point, signal);
  // Work after the last byte (such as settling a job) is part of a system's cost.
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
    ...(point.arrival.kind === 'open' && { offered: point.arrival.perSecond }),
    ...(redisBefore && redisAfter && { xadds: redisAfter.xadds - redisBefore.xadds }),
  };
}

export function drive(
  rig: Rig,
  { origin, path = CHAT_PATH, headers, models }: System,
  load: Pick<Point, 'answer'> & { arrival: Arrival; body?: Body; stallMs?: number },
  signal: AbortSignal,
): Promise<LoadResult> {
  const { answer, arrival, body = 'short', stallMs = 0 } = load;
  const tokens = rig.tokens[answer];
  const spec = { origin, path, headers, model: models[answer], tokens, arrival, body, stallMs };
  return rig.generator.run(spec, signal);
}

/** The system's requests per second at the point that measures its capacity, in the same round. */
function capacityOf(
  measurements: readonly Measurement[],
  round: number,
  system: SystemName,
): number | undefined {
  const one = measurements.find(
    (each) => each.point === CAPACITY && each.round === round && each.system === system,
  );
  return one && COSTS.requestsPerSecond(one);
}

function arrivalOf({ label, arrival }: Point, capacity: number | undefined): Arrival {
  if (arrival.kind !== 'share') return arrival;
  if (capacity === undefined) throw new Error(`${label}: the capacity was not measured before`);
  return { kind: 'open', perSecond: Math.max(1, capacity * arrival.of), ms: arrival.ms };
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
