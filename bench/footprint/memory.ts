import { setTimeout as sleep } from 'node:timers/promises';
import { drive } from '../compare/measure.ts';
import { readMemory } from '../../test/kit/proc.ts';
import { readRedis } from '../redis.ts';
import { startRig } from '../rig.ts';
import { FLOORS, type SystemName } from '../systems/system.ts';

/** Resident bytes by role, at three moments. */
export interface MemoryResult {
  system: SystemName;
  idle: Record<string, number>;
  afterLoad: Record<string, number>;
  recovered: Record<string, number>;
  /** Answers that arrived, and those that did not. */
  requests: number;
  errors: number;
  /** Bytes that its Redis keeps for a finished request; absent without a Redis. */
  redisBytesPerRequest?: number;
}

export const LOAD_REQUESTS = 10_000;
const CONCURRENCY = 64;
const LOAD_MS = 60_000;
const SETTLE_MS = 5_000;
/** Milliseconds for garbage collectors, which return memory when a process has been idle. */
export const RECOVERY_MS = 10_000;

/** Each system alone on the machine and freshly started, once whatever `--rounds` says. */
export async function runMemory(
  { systems, quick }: { systems: SystemName[]; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<MemoryResult[]> {
  const results: MemoryResult[] = [];
  for (const name of systems.filter((one) => !FLOORS.includes(one))) {
    onProgress(`memory: ${name}`);
    results.push(await measure(name, quick, signal));
  }
  return results;
}

async function measure(
  name: SystemName,
  quick: boolean,
  signal: AbortSignal,
): Promise<MemoryResult> {
  const rig = await startRig([name], signal);
  try {
    const system = rig.systems[0]!;
    const { pid = 0, redis } = system;
    await sleep(quick ? 500 : SETTLE_MS, undefined, { signal });
    const idle = await readMemory(pid);
    const redisBefore = redis && (await readRedis(redis.url));
    const load = {
      kind: 'closed',
      concurrency: CONCURRENCY,
      maxRequests: quick ? 500 : LOAD_REQUESTS,
      maxMs: LOAD_MS,
    } as const;
    const { requests, errors } = await drive(
      rig,
      system,
      { answer: 'burst', arrival: load },
      signal,
    );
    const afterLoad = await readMemory(pid);
    await sleep(quick ? 500 : RECOVERY_MS, undefined, { signal });
    const recovered = await readMemory(pid);
    const redisAfter = redis && (await readRedis(redis.url));
    return {
      system: name,
      idle,
      afterLoad,
      recovered,
      requests,
      errors,
      ...(redisBefore &&
        redisAfter && {
          redisBytesPerRequest: (redisAfter.memory - redisBefore.memory) / requests,
        }),
    };
  } finally {
    await rig.stop();
  }
}
