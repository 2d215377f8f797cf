import { setTimeout as sleep } from 'node:timers/promises';
import { cpuBetween, readCpu } from '../../test/kit/proc.ts';
import { readRedis } from '../redis.ts';
import { startRig } from '../rig.ts';
import { FLOORS, type SystemName } from '../systems/system.ts';

/** A system's activity while it gets no requests, per second. */
export interface IdleWindow {
  /** Milliseconds of CPU, by role. */
  cpuMs: Record<string, number>;
  /** Activity of its Redis; absent if it has none. Commands include those that scripts call. */
  redis?: { commands: number; scripts: number; aofBytes: number };
}

export interface IdleResult {
  system: SystemName;
  windows: IdleWindow[];
}

/** Milliseconds from the ready line until the work of the start is done. */
const SETTLE_MS = 5_000;

/** Each system alone on the machine, measured in as many windows as there are rounds. */
export async function runIdle(
  { systems, rounds, quick }: { systems: SystemName[]; rounds: number; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<IdleResult[]> {
  const results: IdleResult[] = [];
  for (const name of systems.filter((one) => !FLOORS.includes(one))) {
    onProgress(`idle: ${name}`);
    const rig = await startRig([name], signal);
    try {
      await sleep(quick ? 500 : SETTLE_MS, undefined, { signal });
      const windows: IdleWindow[] = [];
      while (windows.length < rounds) {
        windows.push(await measureWindow(rig.systems[0]!, quick ? 1_000 : 4_000, signal));
      }
      results.push({ system: name, windows });
    } finally {
      await rig.stop();
    }
  }
  return results;
}

async function measureWindow(
  { pid, redis }: { pid?: number; redis?: { url: string } },
  ms: number,
  signal: AbortSignal,
): Promise<IdleWindow> {
  // Reading Redis' statistics stays outside the window of the CPU, because it would be most of a quiet
  // system's CPU.
  const redisBefore = redis && (await readRedis(redis.url));
  const redisFrom = performance.now();
  const before = await readCpu(pid);
  const from = performance.now();
  await sleep(ms, undefined, { signal });
  const after = await readCpu(pid);
  const seconds = (performance.now() - from) / 1_000;
  const redisAfter = redis && (await readRedis(redis.url));
  const redisSeconds = (performance.now() - redisFrom) / 1_000;
  const cpuMs = Object.fromEntries(
    Object.entries(cpuBetween(before, after)).map(([role, used]) => [role, (used * 1e3) / seconds]),
  );
  if (!redisBefore || !redisAfter) return { cpuMs };
  return {
    cpuMs,
    redis: {
      commands: (redisAfter.commands - redisBefore.commands) / redisSeconds,
      scripts: (redisAfter.scripts - redisBefore.scripts) / redisSeconds,
      aofBytes: (redisAfter.aof - redisBefore.aof) / redisSeconds,
    },
  };
}
