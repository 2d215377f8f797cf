import { cpus } from 'node:os';

/** Times of all cores since the machine started; milliseconds. */
export interface Ticks {
  idle: number;
  all: number;
}

export function readTicks(): Ticks {
  const ticks = { idle: 0, all: 0 };
  for (const { times } of cpus()) {
    ticks.idle += times.idle;
    ticks.all += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return ticks;
}

/** 0 to 1; 0 when no time has passed. */
export function busyShare(before: Ticks, after: Ticks): number {
  const all = after.all - before.all;
  return all > 0 ? 1 - (after.idle - before.idle) / all : 0;
}
