import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Failed } from '@millrace/shared/domain/entry';
import type { Described, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { LateLoop } from '@millrace/shared/runtime/loop-delay';
import { isDamage } from '@millrace/shared/store/redis-failure';
import type { JobQueue, JobState } from '@millrace/shared/store/queue/port';
import { asFailed, refuse } from '../errors.ts';
import type { Relay } from '../delivery/relay.ts';
import type { Submitter } from '../exchange/submit.ts';

/**
 * Every request ends in a terminal entry, whoever ended its job: BullMQ fails jobs without calling
 * the worker, operators remove them in Bull Board. Where the queue says that a job is over and the
 * log does not, the missing entry is written: when somebody asks for the request, and for whoever
 * waits here, once nothing was heard for a while.
 */
export type Reconciler = {
  /** The request as it is, after the missing end was written. */
  describe(id: string): Promise<Described | undefined>;
  stop(): void;
};

export type ReconcilerDeps = {
  log: Pick<StreamLog, 'describe' | 'finish'>;
  queue: Pick<JobQueue, 'state' | 'remove' | 'runThrew'>;
  relay: Pick<Relay, 'takeQuiet' | 'expire' | 'heard' | 'endOverdue' | 'readers'>;
  /** Whether a request is still on its way into Redis: its reader opens before Redis has it. */
  isCreating: Submitter['isCreating'];
  /** A request waited past its deadline, and was ended for it. */
  onOverdue(): void;
  /** Whether the event loop was late a moment ago: what has come in time may be unread. */
  lateLoop: Pick<LateLoop, 'wasLate' | 'rest' | 'resume'>;
  onError(error: unknown): void;
  /** Milliseconds of silence after which a request is looked after. */
  quietMs?: number;
};

/** Milliseconds that a request which was sent by another ingress has to get from its hash into the queue. */
const settleMs = 1000;
/** Requests looked after in one round. */
const roundSize = 200;

export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { log, queue, relay, isCreating, onOverdue, lateLoop, onError, quietMs = 1000 } = deps;

  async function describe(id: string): Promise<Described | undefined> {
    const described = await log.describe(id);
    if (!described || described.ended || isCreating(id)) return described;
    const { createdAt, sentAt = createdAt, deadlineAt = Infinity } = described.meta;
    if (Date.now() - sentAt < settleMs && Date.now() < deadlineAt) return described;
    const state = await queue.state(id);
    // A worker that has it watches the deadline itself.
    const isLate = state === 'waiting' && Date.now() >= deadlineAt;
    if (isLate) await queue.remove(id);
    else if (state === 'waiting' || state === 'active') return described;
    const reason = isLate ? late : await reasonOf(id, state);
    const outcome = await log.finish(
      id,
      encodeEntry({ kind: 'failed', data: { ...reason, at: Date.now() } }),
      'failed',
      // Nobody answered it: whoever asks again with its Idempotency-Key has it tried again.
      { freesKey: true },
    );
    // All ingresses see it, and one of them ends it.
    if (isLate && outcome.kind === 'finished') onOverdue();
    return log.describe(id);
  }

  async function reasonOf(id: string, state: JobState): Promise<Failed> {
    if (state === 'unknown') return removed;
    return (await queue.runThrew(id)) ? threw : failed;
  }

  async function lookAfter(id: string): Promise<void> {
    // While Redis is away it waits for it, and is not there to be found.
    if (isCreating(id)) return;
    const described = await describe(id).catch((error: unknown) => {
      if (!isDamage(error)) throw error;
      // Its readers are ended here, so this is logged once.
      onError(error);
      return undefined;
    });
    if (described) relay.heard(id, described.last);
    else relay.expire(id);
  }

  let looking = false;
  const timer = setInterval(() => {
    // Only readers can be wronged by a loop that was late, and none is overdue within its first seconds.
    if (relay.readers === 0) {
      lateLoop.rest();
      return;
    }
    lateLoop.resume();
    // By the clock alone: what it is for is a Redis that does not answer.
    if (!lateLoop.wasLate()) relay.endOverdue();
    if (looking) return;
    looking = true;
    Promise.all(relay.takeQuiet(quietMs, roundSize).map(lookAfter))
      .catch(onError)
      .finally(() => {
        looking = false;
      });
    // Twice as often: a timer that is a millisecond early would miss a whole round.
  }, quietMs / 2);
  timer.unref();

  return { describe, stop: () => clearInterval(timer) };
}

const removed = asFailed(refuse('job_removed'));

const late = asFailed(refuse('deadline_exceeded'));

const threw = asFailed(refuse('internal_error'));

const failed = asFailed(refuse('job_failed'));
