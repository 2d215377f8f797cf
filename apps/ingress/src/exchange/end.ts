import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Cancelled, Failed, Terminal, TerminalKind } from '@millrace/shared/domain/entry';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import { retryRefused } from '@millrace/shared/store/retry-refused';
import type {
  Caller,
  DetachOutcome,
  FinishOptions,
  StreamLog,
} from '@millrace/shared/store/stream-log/port';
import { asFailed, refuse } from '../errors.ts';
import { within } from '../store-timeout.ts';
import type { Late } from './create.ts';

export type Ender = {
  /** Ends a request for every reader, whatever state it is in. */
  cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'>;
  /**
   * A client of the request has left: ends the request, unless another caller with the same Idempotency-Key
   * is present (`shared`). A later call with the key creates a new request.
   */
  leave(id: string, reason: string, caller?: Caller): Promise<'ended' | 'shared'>;
  /**
   * This ingress stops before the request has ended, and the request continues without it. Sent after all
   * other commands of this ingress about the request.
   */
  detach(id: string, caller?: Caller): Promise<DetachOutcome>;
  /** Resolves when every current cancellation and hand-over has succeeded or failed. */
  settled(): Promise<void>;
  /** Cancellations and hand-overs under way. */
  readonly cancelling: number;
  /**
   * Ends a request that Redis may have, so that it does not run unread, and leaves a request that a late
   * reply has joined.
   */
  withdraw(id: string, late: Late, caller: Caller | undefined): void;
};

/** The end of a request that no worker ends. */
type Ending = { kind: 'cancelled'; data: Cancelled } | { kind: 'failed'; data: Failed };

export type EnderDeps = {
  log: Pick<StreamLog, 'finish' | 'detach'>;
  queue: Pick<JobQueue, 'remove'>;
  /** Called before a command about a request is sent. */
  giveUp(id: string): void;
  onError(error: unknown): void;
  now?(): number;
};

export function createEnder(deps: EnderDeps): Ender {
  const { log, queue, giveUp, onError, now = Date.now } = deps;
  /** Cancellations and hand-overs: commands that must not be lost with this process. */
  const cancelling = new Set<Promise<unknown>>();

  async function cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'> {
    const by = await follow(end(id, cancelled(reason), {}));
    // Only `leave` checks for other callers.
    return by === 'shared' ? 'unknown' : by;
  }

  async function leave(id: string, reason: string, leaver?: Caller): Promise<'ended' | 'shared'> {
    const by = await endSurely(id, cancelled(reason), { leaver, freesKey: true });
    return by === 'shared' ? 'shared' : 'ended';
  }

  async function detach(id: string, caller?: Caller): Promise<DetachOutcome> {
    giveUp(id);
    const work = retryRefused(() => log.detach(id, caller), { withinMs: refusedMs });
    const detached = await follow(work);
    if (detached.kind === 'refused') throw detached.error;
    return detached.value;
  }

  /**
   * Other callers may have joined the request: it fails instead of being cancelled, so that they may send it
   * again.
   */
  async function unqueue(id: string): Promise<void> {
    await endSurely(id, unqueued, { freesKey: true });
  }

  /** Retries while Redis refuses; otherwise the request would run to its end unread. */
  async function endSurely(id: string, ending: Ending, options: FinishOptions) {
    const work = retryRefused(() => end(id, ending, options), { withinMs: refusedMs });
    const ended = await follow(work);
    if (ended.kind === 'refused') throw ended.error;
    return ended.value;
  }

  function withdraw(id: string, late: Late, caller: Caller | undefined): void {
    unqueue(id).catch(onError);
    if (caller) leaveJoined(late, caller).catch(onError);
  }

  /** A late reply may have made the call a caller of another request. */
  async function leaveJoined(late: Late, caller: Caller): Promise<void> {
    const outcome = await late.catch(() => undefined);
    if (outcome?.kind === 'joined') await leave(outcome.id, notQueued, caller);
  }

  async function follow<T>(work: Promise<T>): Promise<T> {
    cancelling.add(work);
    try {
      return await work;
    } finally {
      cancelling.delete(work);
    }
  }

  async function end(
    id: string,
    ending: Ending,
    options: FinishOptions,
  ): Promise<TerminalKind | 'unknown' | 'shared'> {
    giveUp(id);
    const { kind, data } = ending;
    const line = encodeEntry({ kind, data: { ...data, at: now() } } as Terminal);
    const outcome = await within(log.finish(id, line, kind, options));
    if (outcome.kind === 'gone') return 'unknown';
    if (outcome.kind === 'shared') return 'shared';
    // `ended` by the same kind may result from this very command, sent again after its reply was lost.
    if (outcome.kind === 'ended' && outcome.by !== kind) return outcome.by;
    // Removes its job from the queue. A worker that runs it finds the terminal entry.
    await within(queue.remove(id)).catch(onError);
    return kind;
  }

  return {
    cancel,
    leave,
    detach,
    withdraw,
    get cancelling() {
      return cancelling.size;
    },
    settled: async () => {
      await Promise.allSettled(cancelling);
    },
  };
}

/** Milliseconds for which a cancellation or a hand-over is repeated while Redis refuses it. */
const refusedMs = 10_000;

const notQueued = 'the request could not be queued';

const cancelled = (reason: string): Ending => ({ kind: 'cancelled', data: { reason } });

const unqueued: Ending = { kind: 'failed', data: asFailed(refuse('queue_unavailable')) };
