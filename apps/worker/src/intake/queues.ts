import type { WaitLimits, Availability } from '../upstream/selection/port.ts';
import { afterWait, newAllowance } from './allowance.ts';
import type { Allowance } from './allowance.ts';

export type ModelQueuesOptions = {
  /** Whether the targets of a model can be asked, as far as this worker knows. */
  availabilityOf(model: string): Availability;
  /** Milliseconds that a request of the model may wait in all. */
  maxWaitMsOf(model: string): number;
  /** From now on no jobs of these models are to be taken. Called before anything goes back to the queue. */
  onSkip(models: ReadonlySet<string>): void;
  now(): number;
};

export type ModelQueues = WaitLimits & {
  /** What time alone changes; called by a timer. */
  tick(): void;
  /** Models of which no jobs are taken. */
  readonly skipped: ReadonlySet<string>;
  /** Requests that wait, of all models. */
  readonly parked: number;
  /** Nothing that time alone would change. */
  readonly isIdle: boolean;
  /** For /admin/upstreams. */
  snapshot(): Record<string, { allowance: number; waiting: number; skipped: boolean }>;
};

type ModelQueue = {
  allowance: Allowance;
  /** Those that wait, and those that were woken and may come back. */
  parked: number;
  /** They wait for capacity. Kept until none waits: while one asks, its target looks open. */
  isLimited: boolean;
  coolDownUntil: number;
  touchedAt: number;
};

/**
 * Milliseconds for which no jobs of a model are taken after one went back from a queue that was not full:
 * else it would be taken again at once, by the same worker.
 */
const coolDownMs = 1000;
/** Milliseconds that the allowance of an empty queue is remembered: limits come back. */
const keptMs = 30_000;

/** How many requests of each model may wait in this worker, and of which models it takes no more. */
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
    // Only requests of skipped models are sent back: this worker would take another one again at once.
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
