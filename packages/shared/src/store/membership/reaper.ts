import { setTimeout as sleep } from 'node:timers/promises';
import type { DeathCause, RegistryView, Registry, ReaperEvents } from './port.ts';
import { createFailureDetector } from './failure-detector.ts';
import type { Failure } from './failure-detector.ts';

export type ReaperOptions = {
  /** Of the shard that it looks after. */
  registry: Registry;
  /**
   * Puts the jobs that this worker holds back into the queue; returns how many. Safe at any time.
   * `death` once: what is found later was on its way to the worker when it died, which has not read it.
   * `silentMs`: since its last sign of life, as far as it is known.
   */
  takeFrom(worker: string, death?: { cause: DeathCause; silentMs: number }): Promise<number>;
  events: ReaperEvents;
};

export type Reaper = {
  /** A request was sent: from now on a worker's death matters. To be called for each; it costs nothing. */
  wake(): void;
  /** A worker may just have died: looks at once. */
  checkNow(): void;
  /** What was seen so far proves nothing: to be called when the connection to Redis was lost. */
  reset(): void;
  /** Gives the lease back. Ends when Redis has it, or refuses. */
  stop(): Promise<void>;
};

/** Milliseconds between two looks of the one that leads. */
const leaderViewMs = 10;
/** Of the others, who only stand by: they see the same, so that whoever leads next knows as much. */
const standbyViewMs = 50;
/** Of a reaper that rests, because no job is open: a dead worker can only be missed by the next request. */
const restingViewMs = 250;
/** Milliseconds without an open job after which it rests. */
const calmMs = 1000;
/** Milliseconds until the lease of a reaper that looks no more is free. */
export const reaperLeaseMs = 150;
/** Milliseconds to the second sweep: what the dead one had sent may be carried out behind the first. */
const sweepAgainMs = 100;
/** Where connections cannot be counted, absence has to last so long by itself; milliseconds. */
const unconfirmedMs = 300;
/** Milliseconds before a look or a takeover that Redis refused is tried again. */
const retryMs = 100;
/** Dead workers that are remembered, to recognise one that comes back. */
const maxConfirmedDead = 1000;

/**
 * Takes the jobs of dead workers for the others. One reaper acts at a time, by a short lease; two at
 * once do no harm, because a job is only ever moved with the lock token that its dead holder had, read
 * in one step with the holder's name, and Redis refuses the second one.
 *
 * While no job is open it rests: it looks rarely and holds no lease. So the reaper of whichever ingress
 * sends the next request finds the lease free, and leads from its first look on.
 */
export function startReaper({ registry, takeFrom, events }: ReaperOptions): Reaper {
  const detector = createFailureDetector();
  /** Workers with a verdict that is being dealt with. */
  const handled = new Set<string>();
  /** Workers that were found to live, for as long as nobody asks again. */
  const exonerated = new Set<string>();
  const confirmedDead = new Map<string, DeathCause>();
  const controller = new AbortController();
  const { signal } = controller;
  let viewedAt = performance.now();
  let isResting = false;
  let leads = false;
  /** Jobs were open, or a worker looked dead. */
  let busyAt = viewedAt;
  let mustCheckAgain = false;
  let endPause = (): void => {};

  async function watch(): Promise<void> {
    let waitMs = 0;
    while (!signal.aborted) {
      try {
        mustCheckAgain = false;
        const view = await registry.view(!isResting);
        if (signal.aborted) break;
        handleView(view, waitMs);
        await updateRest();
        waitMs = isResting ? restingViewMs : leads ? leaderViewMs : standbyViewMs;
      } catch (error) {
        detector.reset();
        events.onError(error);
        waitMs = retryMs;
      }
      if (!mustCheckAgain) await pauseUntilCheck(waitMs);
    }
  }

  /** Rests when there was nothing to watch for a while, and no longer. */
  async function updateRest(): Promise<void> {
    const isCalm = performance.now() - busyAt >= calmMs;
    if (isCalm === isResting) return;
    isResting = isCalm;
    // A look at rest takes no lease, and nobody may act on what it saw.
    if (!isCalm) mustCheckAgain = true;
    else if (leads) await registry.releaseLease();
  }

  function pauseUntilCheck(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function checkNow(): void {
    busyAt = performance.now();
    isResting = false;
    mustCheckAgain = true;
    endPause();
  }

  function handleView(view: RegistryView, plannedMs: number): void {
    const { signs, jobs } = view;
    const at = performance.now();
    const elapsedMs = at - viewedAt;
    viewedAt = at;
    leads = view.leads;
    for (const { name, listening } of signs) {
      const cause = handled.has(name) ? undefined : confirmedDead.get(name);
      // The name of a hung one comes back with its own beat; the last one of a dead process may be late.
      if (cause === undefined || (cause === 'gone' && !listening)) continue;
      confirmedDead.delete(name);
      events.onFalseAlarm(name, cause);
    }
    const failures = detector.failures(signs, { plannedMs, elapsedMs }, { handled, exonerated });
    const isOdd = failures.length > 0 || signs.some(({ listening }) => !listening);
    if (jobs > 0 || isOdd || handled.size > 0) busyAt = at;
    if (leads) for (const failure of failures) void handleFailure(failure);
  }

  async function handleFailure(failure: Failure): Promise<void> {
    const { name } = failure;
    handled.add(name);
    try {
      if (await isConfirmed(failure)) await confirmDead(failure);
      else void exonerate(failure);
    } catch (error) {
      events.onError(error);
      await pause(retryMs);
    } finally {
      handled.delete(name);
    }
  }

  /** Its subscription was lost and nothing else: the longer that lasts, the more rarely it is asked. */
  async function exonerate({ name, sinceMs }: Failure): Promise<void> {
    exonerated.add(name);
    await pause(Math.min(sinceMs, 500));
    exonerated.delete(name);
  }

  /** A process that ends loses all its connections at once; one connection can be lost by itself. */
  async function isConfirmed({ name, cause, sinceMs }: Failure): Promise<boolean> {
    if (cause === 'hung') return true;
    const connections = await registry.connections([name]);
    return connections ? connections.get(name) === 0 : sinceMs >= unconfirmedMs;
  }

  async function confirmDead({ name, cause, sinceMs }: Failure): Promise<void> {
    const diedAt = performance.now() - sinceMs;
    if (!confirmedDead.has(name)) {
      confirmedDead.set(name, cause);
      events.onDeath(name, cause);
    }
    for (const oldest of confirmedDead.keys()) {
      if (confirmedDead.size <= maxConfirmedDead) break;
      confirmedDead.delete(oldest);
    }
    // A hung one that waits for jobs would swallow the wake-up that is meant for the others.
    if (cause === 'hung') await registry.disconnect(name);
    let jobs = await takeFrom(name, { cause, silentMs: performance.now() - diedAt });
    await pause(sweepAgainMs);
    jobs += await takeFrom(name);
    await registry.remove(name);
    detector.forget(name);
    if (jobs > 0) events.onTakeover(name, jobs);
  }

  const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => {});
  const watching = watch();

  return {
    wake() {
      busyAt = performance.now();
      if (isResting) checkNow();
    },
    checkNow,
    reset: () => detector.reset(),
    async stop() {
      controller.abort();
      endPause();
      // Where the last look still waits, Redis is away, and the lease runs out by itself.
      await registry.releaseLease();
      await watching;
    },
  };
}
