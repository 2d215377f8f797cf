import { exactTime } from '../../apps/simulator/src/clock.ts';

/*
 * How late this machine runs what is due. A bound on a time holds on a machine with nothing else to do; beside
 * other tests it is as much longer as each process on the way is late.
 */

const everyMs = 5;
/** Processes that a call passes, each of which may be as late as this one: ingress, Redis, worker, provider. */
const processes = 4;
/** Of each: it is late more than once on its way. */
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

/** What a bound has to allow for, in milliseconds, for what happened since then; near 0 on an idle machine. */
export function latenessSince(since: number): number {
  const worst = Math.max(0, ...late.filter(({ at }) => at >= since).map(({ ms }) => ms));
  return worst * processes * turns;
}
