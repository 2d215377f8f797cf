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
 * Writes missing terminal entries: BullMQ fails jobs without calling the worker, and operators remove jobs in
 * Bull Board. If a job has ended in the queue but its log has not, the reconciler ends the log: when a client
 * asks for the request, and when its readers have received nothing for `quietMs`.
 */
export type Reconciler = {
  /** Describes the request after writing a missing end. */
  describe(id: string): Promise<Described | undefined>;
  stop(): void;
};

export type ReconcilerDeps = {
  log: Pick<StreamLog, 'describe' | 'finish'>;
  queue: Pick<JobQueue, 'state' | 'remove' | 'runThrew'>;
  relay: Pick<Relay, 'takeQuiet' | 'expire' | 'heard' | 'endOverdue' | 'readers'>;
  /** Whether a request is still on its way into Redis: its reader opens before Redis has it. */
  isCreating: Submitter['isCreating'];
  /** A request was ended because it waited past its deadline. */
  onOverdue(): void;
  /** Whether the event loop was late recently: lines that arrived in time may be unread. */
  lateLoop: Pick<LateLoop, 'wasLate' | 'rest' | 'resume'>;
  onError(error: unknown): void;
  /** Milliseconds of silence after which a request is checked. */
  quietMs?: number;
};

/** Milliseconds after its creation in which a request without a job is not taken for lost. */
const settleMs = 1000;
/** Requests checked in one round. */
const roundSize = 200;

export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { log, queue, relay, isCreating, onOverdue, lateLoop, onError, quietMs = 1000 } = deps;

  async function describe(id: string): Promise<Described | undefined> {
    const described = await log.describe(id);
    if (!described || described.ended || isCreating(id)) return described;
    const { createdAt, sentAt = createdAt, deadlineAt = Infinity } = described.meta;
    if (Date.now() - sentAt < settleMs && Date.now() < deadlineAt) return described;
    const state = await queue.state(id);
    // The worker of an active job enforces the deadline itself.
    const isLate = state === 'waiting' && Date.now() >= deadlineAt;
    if (!isLate && (state === 'waiting' || state === 'active')) return described;
    const reason = isLate ? late : await reasonOf(id, state);
    const outcome = await log.finish(
      id,
      encodeEntry({ kind: 'failed', data: { ...reason, at: Date.now() } }),
      'failed',
      // It has no answer, so a repeated call with its Idempotency-Key creates a new request.
      { freesKey: true },
    );
    // All ingresses notice it; only the one that ended it counts it.
    if (isLate && outcome.kind === 'finished') onOverdue();
    // Not before: another look between the two would take the request for one whose job an operator removed.
    if (isLate) await queue.remove(id);
    return log.describe(id);
  }

  async function reasonOf(id: string, state: JobState): Promise<Failed> {
    if (state === 'unknown') return removed;
    return (await queue.runThrew(id)) ? threw : failed;
  }

  async function check(id: string): Promise<void> {
    // It still waits for Redis and is not stored yet.
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

  let isChecking = false;
  const timer = setInterval(() => {
    // A late loop matters to readers only, and no reader is overdue within its first seconds.
    if (relay.readers === 0) {
      lateLoop.rest();
      return;
    }
    lateLoop.resume();
    // By the clock alone, in case Redis does not answer.
    if (!lateLoop.wasLate()) relay.endOverdue();
    if (isChecking) return;
    isChecking = true;
    Promise.all(relay.takeQuiet(quietMs, roundSize).map(check))
      .catch(onError)
      .finally(() => {
        isChecking = false;
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
