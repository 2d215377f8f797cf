import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Cancelled, Failed, Terminal, TerminalKind } from '@millrace/shared/domain/entry';
import type {
  Caller,
  DetachOutcome,
  FinishOptions,
  StreamLog,
} from '@millrace/shared/store/stream-log/port';
import type { Account } from '@millrace/shared/domain/request';
import { StoreSilent } from '@millrace/shared/store/outage';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import { retryRefused } from '@millrace/shared/store/retry-refused';
import type { Submit, SubmitOutcome } from '@millrace/shared/store/submit/port';
import type { AdmissionController } from '../admission/controller.ts';
import { asFailed, refuse, refuseFor } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { within } from '../store-timeout.ts';
import type { Prepared } from './prepare.ts';

/** The commands of an ingress that create a request in Redis and end it there. */
export type Submitter = {
  /**
   * Stores the request and queues its job, in one step. `isWanted` is asked before anything is sent: a client that
   * left by then has no request to end. `account`: for the request's job. Never rejects.
   */
  create(
    prepared: Prepared,
    account: Account | undefined,
    isWanted: () => boolean,
  ): Promise<Creation>;
  /** Ends a request that Redis may have, so that it does not run unread, and leaves what its reply joins. Never rejects. */
  withdraw(id: string, late: Late, caller: Caller | undefined): void;
  /** Whether `create` of this request has not returned yet. */
  isCreating(id: string): boolean;
  /** Ends a request for every reader, whatever state it is in. */
  cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'>;
  /**
   * A client of the request has left: ends the request, unless another caller has asked for it with the same
   * Idempotency-Key and is still there (`shared`). A later call with the key creates a new request.
   */
  leave(id: string, reason: string, caller?: Caller): Promise<'ended' | 'shared'>;
  /**
   * This ingress stops before the request has ended, which runs on without it. Sent behind all that this ingress has
   * sent of the request.
   */
  detach(id: string, caller?: Caller): Promise<DetachOutcome>;
  /** Resolves when every cancellation and hand-over that is under way has come through, or failed. */
  settled(): Promise<void>;
  /** Cancellations and hand-overs under way. */
  readonly cancelling: number;
};

export type Creation =
  | { kind: 'created' }
  /** The Idempotency-Key stands for this request, whose answer is the answer. */
  | { kind: 'joined'; id: string }
  /** `isWanted` returned false before anything was sent. */
  | { kind: 'called_off' }
  /** Redis has nothing of the request: it was not sent, or Redis refused it. */
  | { kind: 'not_created'; refused: Refused; late?: Late }
  /** Redis may have the request. */
  | { kind: 'unknown'; refused: Refused; late: Late };

/** The reply of Redis to a request that was sent: it may still come, or a first reply may have been lost. */
export type Late = Promise<SubmitOutcome>;

/** How a request ends that no worker ends. */
type Ending = { kind: 'cancelled'; data: Cancelled } | { kind: 'failed'; data: Failed };

export type SubmitDeps = {
  submit: Submit;
  log: Pick<StreamLog, 'finish' | 'detach'>;
  queue: Pick<JobQueue, 'remove'>;
  admission: Pick<AdmissionController, 'track' | 'checkMemory'>;
  /** Resolves when the connection to Redis stands. */
  whenReady(): Promise<void>;
  onError(error: unknown): void;
  now?(): number;
};

export function createSubmitter(deps: SubmitDeps): Submitter {
  const { submit, log, queue, admission, whenReady, onError, now = Date.now } = deps;
  /** Cancellations and hand-overs: commands that must not be lost with this process. */
  const cancelling = new Set<Promise<unknown>>();
  /** Requests that are being created; false if the request was ended or given up meanwhile. */
  const creating = new Map<string, boolean>();

  async function create(
    prepared: Prepared,
    account: Account | undefined,
    isWanted: () => boolean,
  ): Promise<Creation> {
    const { id } = prepared.meta;
    creating.set(id, true);
    const ticket = admission.track(prepared.job.standing);
    try {
      const creation =
        (await awaitRedis(isWanted)) ?? (await send(prepared, account, ticket.sending));
      if (creation.kind === 'created') ticket.queued();
      else ticket.withdrawn();
      return creation;
    } finally {
      creating.delete(id);
    }
  }

  /** Nothing is left with a connection that is away: it would be served when no client waits any more. */
  async function awaitRedis(isWanted: () => boolean): Promise<Creation | undefined> {
    try {
      await within(whenReady());
      const refused = await within(admission.checkMemory());
      if (refused) return { kind: 'not_created', refused };
    } catch (error) {
      return { kind: 'not_created', refused: refuseAndNote(error) };
    }
    // The end of a request whose client leaves from here on follows its creation on the same connection.
    return isWanted() ? undefined : { kind: 'called_off' };
  }

  async function send(
    { meta, job, body, inbox, once }: Prepared,
    account: Account | undefined,
    onSending: () => void,
  ): Promise<Creation> {
    const sent = { meta: { ...meta, sentAt: now() }, job: { ...job, account }, body, inbox, once };
    onSending();
    const submitted = submit(sent, () => creating.get(meta.id) === true);
    try {
      const outcome = await within(submitted);
      if (outcome.kind !== 'conflict') return outcome;
      return { kind: 'not_created', refused: refuse('idempotency_key_reused') };
    } catch (error) {
      const refused = refuseAndNote(error);
      // Without memory Redis refuses the script before it does anything.
      const kind = refused.code === 'queue_full' ? 'not_created' : 'unknown';
      return { kind, refused, late: submitted };
    }
  }

  function withdraw(id: string, late: Late, caller: Caller | undefined): void {
    unqueue(id).catch(onError);
    if (caller) leaveJoined(late, caller).catch(onError);
  }

  function refuseAndNote(error: unknown): Refused {
    if (!(error instanceof StoreSilent)) onError(error);
    return refuseFor(error);
  }

  /** A reply that came too late may have made the call a caller of another request. */
  async function leaveJoined(late: Late, caller: Caller): Promise<void> {
    const outcome = await late.catch(() => undefined);
    if (outcome?.kind === 'joined') await leave(outcome.id, notQueued, caller);
  }

  async function cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'> {
    const by = await follow(end(id, cancelled(reason), {}));
    // Only `leave` asks whether other callers are there.
    return by === 'shared' ? 'unknown' : by;
  }

  async function leave(id: string, reason: string, leaver?: Caller): Promise<'ended' | 'shared'> {
    const by = await endSurely(id, cancelled(reason), { leaver, freesKey: true });
    return by === 'shared' ? 'shared' : 'ended';
  }

  async function detach(id: string, caller?: Caller): Promise<DetachOutcome> {
    giveUpCreating(id);
    const work = retryRefused(() => log.detach(id, caller), { withinMs: refusedMs });
    const detached = await follow(work);
    if (detached.kind === 'refused') throw detached.error;
    return detached.value;
  }

  /** Other callers may have joined the request: it was not cancelled, and they may ask again. */
  async function unqueue(id: string): Promise<void> {
    await endSurely(id, unqueued, { freesKey: true });
  }

  /** Tries again while Redis refuses: otherwise the request would run to its end unread. */
  async function endSurely(id: string, ending: Ending, options: FinishOptions) {
    const work = retryRefused(() => end(id, ending, options), { withinMs: refusedMs });
    const ended = await follow(work);
    if (ended.kind === 'refused') throw ended.error;
    return ended.value;
  }

  /** A command that is sent now is behind the creation, which must not be tried again behind that command. */
  function giveUpCreating(id: string): void {
    if (creating.has(id)) creating.set(id, false);
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
    giveUpCreating(id);
    const { kind, data } = ending;
    const line = encodeEntry({ kind, data: { ...data, at: now() } } as Terminal);
    const outcome = await within(log.finish(id, line, kind, options));
    if (outcome.kind === 'gone') return 'unknown';
    if (outcome.kind === 'shared') return 'shared';
    // `ended` by the same kind may be this very command, sent again after its reply was lost.
    if (outcome.kind === 'ended' && outcome.by !== kind) return outcome.by;
    // Takes its job out of the queue. A worker that runs it finds the terminal entry.
    await within(queue.remove(id)).catch(onError);
    return kind;
  }

  return {
    create,
    withdraw,
    isCreating: (id) => creating.has(id),
    cancel,
    leave,
    detach,
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
