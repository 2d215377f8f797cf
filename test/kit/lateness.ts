import { exactTime } from '../../apps/simulator/src/clock.ts';

/*
 * Measures how late this machine runs timers. A bound on a time holds on an idle machine; beside other tests
 * it is longer by the delay of each process involved.
 */

const everyMs = 5;
/** Processes that a call passes, each of which may be as late as this one: ingress, Redis, worker, provider. */
const processes = 4;
/** Delays of each process on the way of a call. */
const turns = 2;

const kept = 2000;
const late: { at: number; ms: number }[] = [];
let due = performance.now() + everyMs;

setInterval(() => {
  const now = performance.now();
  late.push({ at: exactTime(), ms: Math.max(0, now - due) });
  if (late.length > kept) late.splice(0, kept / 2);
  due = now + everyMs;
}, everyMs).unref();

/** The delay that a bound has to allow since the given time, in milliseconds; near 0 on an idle machine. */
export function latenessSince(since: number): number {
  const worst = Math.max(0, ...late.filter(({ at }) => at >= since).map(({ ms }) => ms));
  return worst * processes * turns;
}
