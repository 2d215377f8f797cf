import { setTimeout as sleep } from 'node:timers/promises';
import type { DeathCause, RegistryView, Registry, ReaperEvents } from './port.ts';
import { createFailureDetector } from './failure-detector.ts';
import type { Failure } from './failure-detector.ts';

export type ReaperOptions = {
  /** The registry of the reaper's shard. */
  registry: Registry;
  /**
   * Puts the jobs that this worker holds back into the queue; returns how many. Safe at any time. The reaper
   * passes `death` only once: a job that it finds later was in flight to the worker, which has not read it.
   * `silentMs`: milliseconds since the last sign of life.
   */
  takeFrom(worker: string, death?: { cause: DeathCause; silentMs: number }): Promise<number>;
  events: ReaperEvents;
};

export type Reaper = {
  /** Call it for each request that this process submits: from now on a worker's death matters. It costs nothing. */
  wake(): void;
  /** Views the registry at once: a worker may just have died. */
  checkNow(): void;
  /** Call it when the connection to Redis was lost: earlier views prove nothing then. */
  reset(): void;
  /** Releases the lease. Ends when Redis has answered. */
  stop(): Promise<void>;
};

/** Milliseconds between two views of the reaper that leads. */
const leaderViewMs = 10;
/** Milliseconds between two views of the other reapers, so that the next leader has the same knowledge. */
const standbyViewMs = 50;
/** Milliseconds between two views of a reaper that rests, because no job is open. */
const restingViewMs = 250;
/** Milliseconds without an open job after which it rests. */
const calmMs = 1000;
/** Milliseconds until the lease of a reaper that has stopped is free. */
export const reaperLeaseMs = 150;
/** Milliseconds to the second sweep: Redis may execute a command of the dead worker after the first one. */
const sweepAgainMs = 100;
/** Milliseconds of absence that confirm a death if the reaper cannot count connections. */
const unconfirmedMs = 300;
/** Milliseconds before the reaper repeats a view or a takeover that Redis refused. */
const retryMs = 100;
/** Dead workers that the reaper remembers, to recognise one that comes back. */
const maxConfirmedDead = 1000;

/**
 * Moves the jobs of dead workers to other workers. One reaper acts at a time, by a short lease; two at once do no harm:
 * the reaper moves a job only with the lock token that the dead holder had, read in one step with the holder's name,
 * and Redis refuses the second move.
 *
 * While no job is open the reaper rests: it views the registry rarely and holds no lease. So the reaper of the ingress
 * that submits the next request finds the lease free, and leads from its first view on.
 */
export function startReaper({ registry, takeFrom, events }: ReaperOptions): Reaper {
  const detector = createFailureDetector();
  /** Workers whose failure the reaper is handling. */
  const handled = new Set<string>();
  /** Workers that proved to be alive, until the next check. */
  const exonerated = new Set<string>();
  const confirmedDead = new Map<string, DeathCause>();
  const controller = new AbortController();
  const { signal } = controller;
  let viewedAt = performance.now();
  let isResting = false;
  let leads = false;
  /** When jobs were last open, or a worker looked dead. */
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

  /** Rests once no job was open for `calmMs`, and ends the rest when one is. */
  async function updateRest(): Promise<void> {
    const isCalm = performance.now() - busyAt >= calmMs;
    if (isCalm === isResting) return;
    isResting = isCalm;
    // A view at rest takes no lease, so the reaper must not act on it.
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
      // A hung worker comes back with its own beat. The last beat of a dead process may arrive late.
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

  /** The worker only lost its subscription: the longer that lasts, the more rarely the reaper checks again. */
  async function exonerate({ name, sinceMs }: Failure): Promise<void> {
    exonerated.add(name);
    await pause(Math.min(sinceMs, 500));
    exonerated.delete(name);
  }

  /** A process that ends loses all its connections at once, while one connection can break alone. */
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
    // A hung worker that waits for jobs would use up a wake-up that is meant for the others.
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
      // If the last view still waits, Redis is unreachable, and the lease expires by itself.
      await registry.releaseLease();
      await watching;
    },
  };
}
