import { logStart, sameEntryId } from '@millrace/shared/domain/entry';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import type { LoopDelay } from '@millrace/shared/runtime/loop-delay';
import type { Activation, ActivationHandler, JobConsumer } from '@millrace/shared/store/queue/port';
import type { WaitLimits, Availability } from '../upstream/selection/port.ts';
import { createModelQueues } from './queues.ts';
import { minConcurrency, concurrencyLimit } from './concurrency.ts';

/* How many jobs a worker takes: as many as its event loop carries, and none that would only wait for a target. */

export type IntakeOptions = {
  /** The upper bound of runs under way (`limits.workerConcurrency`). */
  ceiling: number;
  log: Pick<StreamLog, 'describe'>;
  loop: LoopDelay;
  availabilityOf(model: string): Availability;
  /** Milliseconds (`models.*.maxWait`). */
  maxWaitMsOf(model: string): number;
  /** Called with false when work begins, and with true when the worker has come to rest. */
  onChange?: ((isAtRest: boolean) => void) | undefined;
  now(): number;
};

export type Intake = {
  /** How many requests of a model may wait for a target. */
  readonly waitLimits: WaitLimits;
  /** The current number of slots; the consumer starts with it. */
  readonly places: number;
  /** Returns requests to the queue that would only wait, and counts the others while they run. */
  admitting(handle: ActivationHandler): ActivationHandler;
  /** Connects the consumer whose limits this object sets from now on. */
  attach(consumer: Pick<JobConsumer, 'skip' | 'fetchBurst' | 'setConcurrency'>): void;
  /** Makes room for the jobs of a dead worker, whatever the load. */
  makeRoomFor(shard: number, jobs: number): void;
  /** Takes no more jobs until `resume`; those that it holds go on. */
  pause(): void;
  resume(): void;
  /** Adjusts the limits once; a timer calls it. */
  look(): void;
  snapshot(): IntakeSnapshot;
  close(): void;
};

export type IntakeSnapshot = {
  places: number;
  running: number;
  waiting: number;
  /** Mean delay of the event loop at the last look, in milliseconds. */
  loopDelayMs: number;
  models: Record<string, { allowance: number; waiting: number; skipped: boolean }>;
  /** Jobs that went back to the queue because they could only have waited here, by model. */
  putBack: Readonly<Record<string, number>>;
};

/** Milliseconds between two looks: about ten samples of the loop's delay, and short enough to react to a burst. */
const lookMs = 100;
/** Milliseconds for which room is kept for a dead worker's jobs; the worker fetches them in a fraction of that. */
const summonsMs = 2000;

type Consumer = Parameters<Intake['attach']>[0];

export function createIntake(options: IntakeOptions): Intake {
  const { ceiling, log, loop, availabilityOf, maxWaitMsOf, onChange, now } = options;
  let consumer: Consumer | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  /** By an operator's order. */
  let isPaused = false;
  const modelQueues = createModelQueues({
    availabilityOf,
    maxWaitMsOf,
    now,
    onSkip: (models) => consumer?.skip(models),
  });
  /** Runs, including those that wait for a target. */
  let held = 0;
  let busiest = 0;
  let places = Math.min(ceiling, minConcurrency);
  let lookedAt = now();
  let lateMs = 0;
  let summons = { places: 0, until: 0 };
  const putBack = new Map<string, number>();

  const running = (): number => held - modelQueues.parked;

  /** The mean delay since the last look. A blocked loop takes no samples, but then this look itself is late. */
  function lateness(at: number): number {
    const { meanMs } = loop.take();
    const ownMs = at - lookedAt - lookMs;
    return ownMs > lookMs ? Math.max(meanMs, ownMs) : meanMs;
  }

  function applyLimit(): void {
    // A request that waits for a target costs the loop nothing and takes no slot; `limits.waiting` bounds them.
    consumer?.setConcurrency(isPaused ? 0 : places + modelQueues.parked);
  }

  function look(): void {
    const at = now();
    lateMs = lateness(at);
    lookedAt = at;
    modelQueues.tick();
    places = concurrencyLimit({
      lateMs,
      running: Math.max(busiest, running()),
      ceiling,
      summoned: summons.until > at ? summons.places : 0,
    });
    busiest = running();
    applyLimit();
    const isIdle = held === 0 && modelQueues.isIdle && summons.until <= at;
    if (isIdle && places === Math.min(ceiling, minConcurrency)) stopTimer();
  }

  /** Nothing runs, so a look would not change the limit. */
  function stopTimer(): void {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    lateMs = 0;
    loop.rest();
    onChange?.(true);
  }

  function startTimer(): void {
    if (timer !== undefined || isClosed || !consumer) return;
    lookedAt = now();
    timer = setInterval(look, lookMs).unref();
    loop.resume();
    onChange?.(false);
  }

  /**
   * Whether the request is to wait in the queue. Nothing is written for it, so its log does not mention this
   * worker.
   */
  async function mayRequeue({ id, number, data }: Activation): Promise<boolean> {
    if (!modelQueues.skipped.has(data.model)) return false;
    // An activation that ended as `not_yet` does not count in the run number: at 1, nothing was delivered
    // before.
    if (number === 1) return true;
    // A reader may have a part of its answer.
    const described = await log.describe(id).catch(() => undefined);
    const isFresh = described && !described.ended && sameEntryId(described.last, logStart);
    return isFresh === true && modelQueues.skipped.has(data.model);
  }

  const countBack = (model: string): void => void putBack.set(model, (putBack.get(model) ?? 0) + 1);

  return {
    waitLimits: modelQueues,
    get places() {
      return places;
    },
    admitting: (handle) => async (activation) => {
      const { model } = activation.data;
      startTimer();
      if (await mayRequeue(activation)) {
        countBack(model);
        return { kind: 'not_yet' };
      }
      held += 1;
      // The timer may have stopped while Redis described the log.
      startTimer();
      busiest = Math.max(busiest, running());
      try {
        const outcome = await handle(activation);
        if (outcome.kind === 'not_yet') countBack(model);
        return outcome;
      } finally {
        held -= 1;
      }
    },
    attach(attached) {
      consumer = attached;
      consumer.skip(modelQueues.skipped);
      applyLimit();
      startTimer();
    },
    makeRoomFor(shard, jobs) {
      if (isPaused) return;
      startTimer();
      const at = now();
      // Each shard of a dead worker makes a call of its own.
      const before = summons.until > at ? summons.places : running();
      summons = { places: Math.max(before, running()) + jobs, until: at + summonsMs };
      places = Math.min(ceiling, Math.max(places, summons.places));
      applyLimit();
      consumer?.fetchBurst(shard, jobs);
    },
    pause() {
      isPaused = true;
      applyLimit();
    },
    resume() {
      isPaused = false;
      applyLimit();
      startTimer();
    },
    look,
    snapshot: () => ({
      places: isPaused ? 0 : places,
      running: running(),
      waiting: modelQueues.parked,
      loopDelayMs: Math.round(lateMs * 10) / 10,
      models: modelQueues.snapshot(),
      putBack: Object.fromEntries(putBack),
    }),
    close() {
      isClosed = true;
      clearInterval(timer);
      loop.close();
    },
  };
}
