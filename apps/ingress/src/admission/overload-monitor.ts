import { totalmem } from 'node:os';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Config } from '@millrace/shared/config';
import { watchLoopDelay } from '@millrace/shared/runtime/loop-delay';
import {
  updateOverload,
  isWithinLimits,
  judgeOverload,
  mayBeGarbage,
  noOverload,
} from './overload.ts';
import type { OverloadVerdict, ResourceUsage } from './overload.ts';

export type OverloadMonitor = {
  /** Whether this process accepts requests, by the last sample. */
  judge(): OverloadVerdict;
  /** The last sample, and the limits. */
  readonly usage: ResourceUsage;
  readonly limits: ResourceUsage;
  stop(): void;
};

/** Milliseconds between two samples. */
const sampleMs = 250;
/** The same while the process is idle, because no client sends requests. */
const idleSampleMs = 1000;
/** The highest event loop utilization at which the process counts as idle. */
const idleUtilization = 0.2;
/** Milliseconds between two forced garbage collections, because each one blocks the process. */
const collectEveryMs = 10_000;

/** Samples the delay of the event loop and the memory of this process. */
export function startOverloadMonitor({ loopDelayMs, memory }: Config['limits']): OverloadMonitor {
  const delay = watchLoopDelay();
  const limits: ResourceUsage = {
    loop_delay: loopDelayMs,
    heap: (getHeapStatistics().heap_size_limit * memory) / 100,
    resident_memory: (memoryOfProcess() * memory) / 100,
  };
  let state = noOverload;
  let usage: ResourceUsage = { loop_delay: 0, heap: 0, resident_memory: 0 };
  let collectedAt = -Infinity;
  let wasAsked = true;
  let isIdle = false;
  let timer: NodeJS.Timeout;
  let used = performance.eventLoopUtilization();

  function sample(): void {
    usage = {
      loop_delay: delay.take().meanMs,
      heap: getHeapStatistics().used_heap_size,
      resident_memory: residentMemory() ?? usage.resident_memory,
    };
    state = updateOverload(state, usage, limits);
    const before = used;
    used = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(used, before);
    setIdle(!wasAsked && utilization < idleUtilization && isWithinLimits(state));
    wasAsked = false;
    if (!mayBeGarbage(state) || performance.now() - collectedAt < collectEveryMs) return;
    collectGarbage();
    collectedAt = performance.now();
  }

  function setIdle(idle: boolean): void {
    if (idle === isIdle) return;
    isIdle = idle;
    clearInterval(timer);
    timer = setInterval(sample, isIdle ? idleSampleMs : sampleMs).unref();
    if (isIdle) delay.rest();
    else delay.resume();
  }

  timer = setInterval(sample, sampleMs).unref();
  return {
    judge() {
      wasAsked = true;
      setIdle(false);
      return judgeOverload(state);
    },
    get usage() {
      return usage;
    },
    limits,
    stop() {
      clearInterval(timer);
      delay.close();
    },
  };
}

/** Bytes that this process may use: the limit of its container, else the memory of the machine. */
function memoryOfProcess(): number {
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return constrained > 0 && constrained < total ? constrained : total;
}

/** Bytes; undefined while the process has no free file descriptor, because Node reads a file for it. */
function residentMemory(): number | undefined {
  try {
    return process.memoryUsage.rss();
  } catch {
    return undefined;
  }
}

let collect: (() => void) | undefined;

/** Node exposes it only with this flag, which can be set at run time. */
function collectGarbage(): void {
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
