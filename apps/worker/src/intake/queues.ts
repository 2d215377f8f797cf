import type { WaitLimits, Availability } from '../upstream/selection/port.ts';
import { afterWait, newAllowance } from './allowance.ts';
import type { Allowance } from './allowance.ts';

export type ModelQueuesOptions = {
  /** The availability of a model's targets, as this worker knows it. */
  availabilityOf(model: string): Availability;
  /** Milliseconds that a request of the model may wait in all. */
  maxWaitMsOf(model: string): number;
  /** Sets the models whose jobs are not taken from now on. Called before a job goes back to the queue. */
  onSkip(models: ReadonlySet<string>): void;
  now(): number;
};

export type ModelQueues = WaitLimits & {
  /** Applies the changes that time brings; a timer calls it. */
  tick(): void;
  /** Models whose jobs are not taken. */
  readonly skipped: ReadonlySet<string>;
  /** Waiting requests of all models. */
  readonly parked: number;
  /** Whether no change depends on time alone. */
  readonly isIdle: boolean;
  /** For /admin/upstreams. */
  snapshot(): Record<string, { allowance: number; waiting: number; skipped: boolean }>;
};

type ModelQueue = {
  allowance: Allowance;
  /** Requests that wait, and requests that were woken and may wait again. */
  parked: number;
  /**
   * The requests wait for capacity. Kept until none waits, because a target looks open while a request tries
   * it.
   */
  isLimited: boolean;
  coolDownUntil: number;
  touchedAt: number;
};

/**
 * Milliseconds for which no jobs of a model are taken after a job went back from a queue that was not full.
 * Otherwise this worker would take the same job again at once.
 */
const coolDownMs = 1000;
/** Milliseconds for which the allowance of an empty queue is remembered, because a provider's limits recur. */
const keptMs = 30_000;

/** Decides how many requests of each model may wait in this worker, and of which models it takes no more. */
export function createModelQueues({
  availabilityOf,
  maxWaitMsOf,
  onSkip,
  now,
}: ModelQueuesOptions): ModelQueues {
  const queues = new Map<string, ModelQueue>();
  let skipped: ReadonlySet<string> = new Set();
  let parked = 0;

  function queueOf(model: string): ModelQueue {
    const queue = queues.get(model) ?? {
      allowance: newAllowance,
      parked: 0,
      isLimited: false,
      coolDownUntil: 0,
      touchedAt: 0,
    };
    queues.set(model, queue);
    queue.touchedAt = now();
    return queue;
  }

  function look(model: string, queue: ModelQueue): void {
    const availability = availabilityOf(model);
    if (availability !== 'open') queue.isLimited = availability === 'limited';
  }

  const isFull = (queue: ModelQueue): boolean =>
    queue.isLimited && queue.parked >= queue.allowance.size;

  function settle(model: string, queue: ModelQueue): void {
    const shallSkip = isFull(queue) || queue.coolDownUntil > now();
    if (shallSkip === skipped.has(model)) return;
    const changed = new Set(skipped);
    if (shallSkip) changed.add(model);
    else changed.delete(model);
    skipped = changed;
    onSkip(skipped);
  }

  return {
    waitStarted(model) {
      const queue = queueOf(model);
      queue.parked += 1;
      parked += 1;
      look(model, queue);
      settle(model, queue);
    },
    waitEnded(model, since, how) {
      const queue = queueOf(model);
      if (queue.isLimited && how !== 'gone') {
        queue.allowance = afterWait(queue.allowance, {
          since,
          at: now(),
          through: how === 'through',
          wasFull: isFull(queue),
          maxWaitMs: maxWaitMsOf(model),
        });
      }
      queue.parked -= 1;
      parked -= 1;
      if (queue.parked === 0) queue.isLimited = false;
      settle(model, queue);
    },
    // A request of any other model would be taken again by this worker at once.
    isFull: (model) => skipped.has(model),
    isLimited(model) {
      const availability = availabilityOf(model);
      return availability === 'open'
        ? (queues.get(model)?.isLimited ?? false)
        : availability === 'limited';
    },
    coolDown(model) {
      const queue = queueOf(model);
      queue.coolDownUntil = now() + coolDownMs;
      settle(model, queue);
    },
    tick() {
      for (const [model, queue] of queues) {
        if (queue.parked > 0) look(model, queue);
        settle(model, queue);
        const isOver = queue.parked === 0 && queue.touchedAt + keptMs <= now();
        if (isOver && !skipped.has(model)) queues.delete(model);
      }
    },
    get skipped() {
      return skipped;
    },
    get parked() {
      return parked;
    },
    get isIdle() {
      return queues.size === 0;
    },
    snapshot: () =>
      Object.fromEntries(
        [...queues].map(([model, { allowance, parked: waiting }]) => [
          model,
          { allowance: allowance.size, waiting, skipped: skipped.has(model) },
        ]),
      ),
  };
}
