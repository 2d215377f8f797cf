import { totalmem } from 'node:os';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Config } from '@millrace/shared/config';
import { watchLoopDelay } from '@millrace/shared/runtime/loop-delay';
import { feel, isCalm, judgeStrain, mayBeGarbage, noStrain } from './overload.ts';
import type { OwnVerdict, Pressure } from './overload.ts';

export type OwnLoad = {
  /** Whether this process takes new work, as of a moment ago. */
  judge(): OwnVerdict;
  /** What was seen last, and what it may be at most. */
  readonly seen: Pressure;
  readonly limits: Pressure;
  stop(): void;
};

/** Milliseconds between two looks. */
const everyMs = 250;
/** Of a process at rest: nothing asks for its verdict, and what it does is not worth measuring. */
const restMs = 1000;
/** Share of the time in which the event loop of a process at rest is in use, at most. */
const restUse = 0.2;
/** Milliseconds between two collections of garbage that are asked for: one stops everything else. */
const collectEveryMs = 10_000;

/** Looks at this process itself: how late its event loop is, and what it holds of memory. */
export function watchOwnLoad({ loopDelayMs, memory }: Config['limits']): OwnLoad {
  const delay = watchLoopDelay();
  const limits: Pressure = {
    loop_delay: loopDelayMs,
    heap: (getHeapStatistics().heap_size_limit * memory) / 100,
    resident_memory: (memoryOfProcess() * memory) / 100,
  };
  let strain = noStrain;
  let seen: Pressure = { loop_delay: 0, heap: 0, resident_memory: 0 };
  let collectedAt = -Infinity;
  let wasAsked = true;
  let isResting = false;
  let timer: NodeJS.Timeout;
  let used = performance.eventLoopUtilization();

  function look(): void {
    seen = {
      loop_delay: delay.take().meanMs,
      heap: getHeapStatistics().used_heap_size,
      resident_memory: residentMemory() ?? seen.resident_memory,
    };
    strain = feel(strain, seen, limits);
    const before = used;
    used = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(used, before);
    rest(!wasAsked && utilization < restUse && isCalm(strain));
    wasAsked = false;
    if (!mayBeGarbage(strain) || performance.now() - collectedAt < collectEveryMs) return;
    collectGarbage();
    collectedAt = performance.now();
  }

  function rest(shallRest: boolean): void {
    if (shallRest === isResting) return;
    isResting = shallRest;
    clearInterval(timer);
    timer = setInterval(look, isResting ? restMs : everyMs).unref();
    if (isResting) delay.rest();
    else delay.resume();
  }

  timer = setInterval(look, everyMs).unref();
  return {
    judge() {
      wasAsked = true;
      rest(false);
      return judgeStrain(strain);
    },
    get seen() {
      return seen;
    },
    limits,
    stop() {
      clearInterval(timer);
      delay.close();
    },
  };
}

/** Bytes: of the container, where that has less than the machine. */
function memoryOfProcess(): number {
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return constrained > 0 && constrained < total ? constrained : total;
}

/** Bytes; undefined while no descriptor is left: Node reads a file for it. */
function residentMemory(): number | undefined {
  try {
    return process.memoryUsage.rss();
  } catch {
    return undefined;
  }
}

let collect: (() => void) | undefined;

/** Node has no function for it but behind this flag, which may be set at any time. */
function collectGarbage(): void {
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
