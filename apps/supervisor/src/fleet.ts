import type { ReloadMessage, WorkerEndedMessage } from '@millrace/shared/runtime/lifecycle';
import type { Logger } from '@millrace/shared/runtime/logger';
import { redisStopMs } from './redis-server.ts';
import { supervise, type ProcessSpec, type Supervised } from './supervise.ts';
import { startWatchdog } from './watchdog.ts';

export type Group = 'ingress' | 'worker' | 'admin' | 'provider' | 'redis';

/** No process can be started any more, because the fleet is being stopped. */
export class FleetStopping extends Error {
  override readonly name = 'FleetStopping';
}

export type Fleet = {
  /** Starts a process and keeps it running. Throws FleetStopping. */
  add(group: Group, spec: ProcessSpec): Supervised;
  /** Asks all processes that have the config to read it again. */
  reloadConfig(): void;
  /** Drains and ends all processes, in order, within the drain time and a few seconds. Idempotent. */
  stop(): Promise<void>;
  /** Kills all processes. */
  kill(): Promise<void>;
};

/** Milliseconds that the control plane has for its last transaction. */
const adminStopMs = 4000;
/** Milliseconds in which providers have to end; no process calls them any more. */
const providerStopMs = 1000;

export type FleetOptions = {
  log: Logger;
  /** Milliseconds that all ingresses and workers together may take to finish their streams. */
  drainMs: number;
  /** Milliseconds before that in which an ingress that got the signal serves as before. */
  drainDelayMs: number;
};

/**
 * All processes of one start.
 *
 * They stop in the order of their dependencies: ingresses first, because their remaining streams need
 * workers; then workers, which need providers and Redis; then the control plane; Redis last.
 */
export function createFleet({ log, drainMs, drainDelayMs }: FleetOptions): Fleet {
  const groups: Record<Group, Supervised[]> = {
    ingress: [],
    worker: [],
    admin: [],
    provider: [],
    redis: [],
  };
  const watchdog = startWatchdog({ drainMs: drainDelayMs + drainMs });
  let stopping: Promise<void> | undefined;

  const pids = (...names: Group[]) =>
    names.flatMap((name) => groups[name].flatMap(({ pid }) => pid ?? []));
  const tellWatchdog = () =>
    watchdog.watch({
      draining: pids('ingress', 'worker', 'admin'),
      serving: pids('provider', 'redis'),
    });
  /**
   * Notifies the ingresses before they would notice the death in Redis, because the streams of that worker
   * wait for another one.
   */
  const tellIngresses = () => {
    const message: WorkerEndedMessage = { type: 'worker ended' };
    for (const ingress of groups.ingress) ingress.tell(message);
  };
  const stopGroup = async (name: Group, withinMs: number, delayMs = 0) => {
    await Promise.all(groups[name].map((one) => one.stop(withinMs, delayMs)));
  };

  const stopInOrder = async () => {
    const deadline = performance.now() + drainDelayMs + drainMs;
    // The ingresses leave some of the time to the workers, for requests without a reader.
    const workersShare = Math.min(drainMs / 4, 3000);
    await stopGroup('ingress', drainMs - workersShare, drainDelayMs);
    await stopGroup('worker', Math.max(Math.round(deadline - performance.now()), 0));
    // It stores what ended last.
    await stopGroup('admin', adminStopMs);
    await stopGroup('provider', providerStopMs);
    await stopGroup('redis', redisStopMs);
    await watchdog.stop();
  };

  return {
    add(group, spec) {
      if (stopping) throw new FleetStopping();
      const onExit = group === 'worker' ? tellIngresses : () => {};
      const one = supervise(spec, { log, onPid: tellWatchdog, onExit });
      groups[group].push(one);
      tellWatchdog();
      return one;
    },
    reloadConfig() {
      // Not SIGHUP, which would end a process that has just been started.
      const message: ReloadMessage = { type: 'reload' };
      for (const name of ['ingress', 'worker', 'admin'] as const) {
        for (const one of groups[name]) one.tell(message);
      }
    },
    stop() {
      stopping ??= stopInOrder();
      return stopping;
    },
    async kill() {
      stopping ??= Promise.resolve();
      await Promise.all(Object.values(groups).flatMap((group) => group.map((one) => one.kill())));
      await watchdog.stop();
    },
  };
}
