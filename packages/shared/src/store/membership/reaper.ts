import { setTimeout as sleep } from 'node:timers/promises';
import type { DeathCause, Look, PresenceBoard, ReaperEvents } from './port.ts';
import { createSuspicion } from './failure-detector.ts';
import type { Verdict } from './failure-detector.ts';

export type ReaperOptions = {
  /** Of the shard that it looks after. */
  board: PresenceBoard;
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
  lookNow(): void;
  /** What was seen so far proves nothing: to be called when the connection to Redis was lost. */
  doubt(): void;
  /** Gives the lease back. Ends when Redis has it, or refuses. */
  stop(): Promise<void>;
};

/** Milliseconds between two looks of the one that leads. */
const lookMs = 10;
/** Of the others, who only stand by: they see the same, so that whoever leads next knows as much. */
const standByMs = 50;
/** Of a reaper that rests, because no job is open: a dead worker can only be missed by the next request. */
const restMs = 250;
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
const maxBuried = 1000;

/**
 * Takes the jobs of dead workers for the others. One reaper acts at a time, by a short lease; two at
 * once do no harm, because a job is only ever moved with the lock token that its dead holder had, read
 * in one step with the holder's name, and Redis refuses the second one.
 *
 * While no job is open it rests: it looks rarely and holds no lease. So the reaper of whichever ingress
 * sends the next request finds the lease free, and leads from its first look on.
 */
export function startReaper({ board, takeFrom, events }: ReaperOptions): Reaper {
  const suspicion = createSuspicion();
  /** Workers with a verdict that is being dealt with. */
  const busy = new Set<string>();
  /** Workers that were found to live, for as long as nobody asks again. */
  const excused = new Set<string>();
  const buried = new Map<string, DeathCause>();
  const controller = new AbortController();
  const { signal } = controller;
  let lookedAt = performance.now();
  let isResting = false;
  let leads = false;
  /** Jobs were open, or a worker looked dead. */
  let busyAt = lookedAt;
  let mustLook = false;
  let endPause = (): void => {};

  async function watch(): Promise<void> {
    let waitMs = 0;
    while (!signal.aborted) {
      try {
        mustLook = false;
        const look = await board.look(!isResting);
        if (signal.aborted) break;
        heed(look, waitMs);
        await settle();
        waitMs = isResting ? restMs : leads ? lookMs : standByMs;
      } catch (error) {
        suspicion.doubt();
        events.onError(error);
        waitMs = retryMs;
      }
      if (!mustLook) await pauseToLook(waitMs);
    }
  }

  /** Rests when there was nothing to watch for a while, and no longer. */
  async function settle(): Promise<void> {
    const isCalm = performance.now() - busyAt >= calmMs;
    if (isCalm === isResting) return;
    isResting = isCalm;
    // A look at rest takes no lease, and nobody may act on what it saw.
    if (!isCalm) mustLook = true;
    else if (leads) await board.resign();
  }

  function pauseToLook(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function lookNow(): void {
    busyAt = performance.now();
    isResting = false;
    mustLook = true;
    endPause();
  }

  function heed(look: Look, plannedMs: number): void {
    const { signs, jobs } = look;
    const at = performance.now();
    const elapsedMs = at - lookedAt;
    lookedAt = at;
    leads = look.leads;
    for (const { name, listening } of signs) {
      const cause = busy.has(name) ? undefined : buried.get(name);
      // The name of a hung one comes back with its own beat; the last one of a dead process may be late.
      if (cause === undefined || (cause === 'gone' && !listening)) continue;
      buried.delete(name);
      events.onFalseAlarm(name, cause);
    }
    const verdicts = suspicion.judge(signs, { plannedMs, elapsedMs }, { busy, excused });
    const isOdd = verdicts.length > 0 || signs.some(({ listening }) => !listening);
    if (jobs > 0 || isOdd || busy.size > 0) busyAt = at;
    if (leads) for (const verdict of verdicts) void deal(verdict);
  }

  async function deal(verdict: Verdict): Promise<void> {
    const { name } = verdict;
    busy.add(name);
    try {
      if (await isConfirmed(verdict)) await bury(verdict);
      else void excuse(verdict);
    } catch (error) {
      events.onError(error);
      await pause(retryMs);
    } finally {
      busy.delete(name);
    }
  }

  /** Its subscription was lost and nothing else: the longer that lasts, the more rarely it is asked. */
  async function excuse({ name, sinceMs }: Verdict): Promise<void> {
    excused.add(name);
    await pause(Math.min(sinceMs, 500));
    excused.delete(name);
  }

  /** A process that ends loses all its connections at once; one connection can be lost by itself. */
  async function isConfirmed({ name, cause, sinceMs }: Verdict): Promise<boolean> {
    if (cause === 'hung') return true;
    const connections = await board.connections([name]);
    return connections ? connections.get(name) === 0 : sinceMs >= unconfirmedMs;
  }

  async function bury({ name, cause, sinceMs }: Verdict): Promise<void> {
    const diedAt = performance.now() - sinceMs;
    if (!buried.has(name)) {
      buried.set(name, cause);
      events.onDeath(name, cause);
    }
    for (const oldest of buried.keys()) {
      if (buried.size <= maxBuried) break;
      buried.delete(oldest);
    }
    // A hung one that waits for jobs would swallow the wake-up that is meant for the others.
    if (cause === 'hung') await board.cut(name);
    let jobs = await takeFrom(name, { cause, silentMs: performance.now() - diedAt });
    await pause(sweepAgainMs);
    jobs += await takeFrom(name);
    await board.forget(name);
    suspicion.forget(name);
    if (jobs > 0) events.onTakeover(name, jobs);
  }

  const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => {});
  const watching = watch();

  return {
    wake() {
      busyAt = performance.now();
      if (isResting) lookNow();
    },
    lookNow,
    doubt: () => suspicion.doubt(),
    async stop() {
      controller.abort();
      endPause();
      // Where the last look still waits, Redis is away, and the lease runs out by itself.
      await board.resign();
      await watching;
    },
  };
}
