import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Cancelled, Failed, Terminal, TerminalKind } from '@millrace/shared/domain/entry';
import type {
  Caller,
  DetachOutcome,
  FinishOptions,
  StreamLog,
} from '@millrace/shared/store/stream-log/port';
import type { JobQueue } from '@millrace/shared/store/queue/port';
import { retryRefused } from '@millrace/shared/store/retry-refused';
import type { Submit, SubmitOutcome } from '@millrace/shared/store/submit/port';
import type { AdmissionController } from '../admission/controller.ts';
import { apiError, asFailed } from '../errors.ts';
import { createPreparer } from './prepare.ts';
import type { Prepared, PrepareDeps, Submission } from './prepare.ts';
import { within } from './timeout.ts';

export type Submitter = {
  /**
   * The request as it will be, with its id; nothing is sent yet. Throws an ApiError on an unknown model,
   * and when the queue is too long for it.
   */
  prepare(submission: Submission): Prepared;
  /** Stores the request and queues its job. Throws an ApiError when the queue cannot take it. */
  send(prepared: Prepared, client?: ClientState): Promise<Sent>;
  /** From the call of `send` until it is known what became of it. */
  isSending(id: string): boolean;
  /** Ends a request for every reader, whatever state it is in. */
  cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'>;
  /**
   * A request's client is not there any more: ends it, unless another one has asked for it with the
   * same Idempotency-Key and is still there (`shared`). Who asks for it again later has it made anew.
   */
  leave(id: string, reason: string, caller?: Caller): Promise<'ended' | 'shared'>;
  /**
   * This ingress stops before the request has ended: it runs on without this one. Sent behind whatever
   * this ingress has sent of it. `caller`: by whose Idempotency-Key it was asked for.
   */
  detach(id: string, caller?: Caller): Promise<DetachOutcome>;
  /** Resolves when every cancellation and hand-over that is under way has come through, or failed. */
  settled(): Promise<void>;
  /** Cancellations and hand-overs under way. */
  readonly cancelling: number;
};

/** Who waits for the answer, as far as sending has to know. */
export type ClientState = {
  /** Something came of it already, so that it was queued. */
  isHeard?(): boolean;
  /** It left, and that ends its request. */
  hasLeft?(): boolean;
};

export type Sent =
  | { kind: 'queued' }
  /** The Idempotency-Key stands for this request already, and its answer is the answer. */
  | { kind: 'joined'; id: string }
  /** Its asker left before it was sent: there is no such request. */
  | { kind: 'unsent' };

/** How a request ends that no worker ends. */
type Ending = { kind: 'cancelled'; data: Cancelled } | { kind: 'failed'; data: Failed };

export type SubmitDeps = Pick<PrepareDeps, 'config' | 'inbox'> & {
  submit: Submit;
  log: Pick<StreamLog, 'finish' | 'detach'>;
  queue: Pick<JobQueue, 'remove'>;
  admission: Pick<AdmissionController, 'admit' | 'track' | 'checkMemory'>;
  /** Resolves when the connection to Redis stands. */
  whenReady(): Promise<void>;
  onError(error: unknown): void;
  now?(): number;
};

export function createSubmitter(deps: SubmitDeps): Submitter {
  const { config, submit, log, queue, admission, inbox, whenReady, onError, now = Date.now } = deps;
  /** Also hand-overs: words to Redis about a request that must not be lost with this process. */
  const cancelling = new Set<Promise<unknown>>();
  /** Those that are being sent; false for one that was ended or given up meanwhile. */
  const sending = new Map<string, boolean>();
  const prepare = createPreparer({ config, admission, inbox, now });

  async function send(prepared: Prepared, client: ClientState = {}): Promise<Sent> {
    const { id } = prepared.meta;
    sending.set(id, true);
    const ticket = admission.track(prepared.job.standing);
    try {
      const sent = await sendNow(prepared, client, ticket.sending);
      if (sent.kind === 'queued') ticket.queued();
      else ticket.withdrawn();
      return sent;
    } catch (error) {
      ticket.withdrawn();
      throw error;
    } finally {
      sending.delete(id);
    }
  }

  async function sendNow(
    prepared: Prepared,
    client: ClientState,
    onSending: () => void,
  ): Promise<Sent> {
    const { meta, job, submission, once } = prepared;
    // Nothing is left with a connection that is away: it would be served when nobody waits any more.
    await within(whenReady());
    await within(admission.checkMemory());
    // A client that left before this had no request to end; the end for one that leaves from here on follows
    // the request on the same connection.
    if (client.hasLeft?.()) return { kind: 'unsent' };
    meta.sentAt = now();
    const read = submission.read ? inbox : undefined;
    const request = { meta, body: submission.body, inbox: read, job, once };
    onSending();
    const submitted = submit(request, () => sending.get(meta.id) === true);
    let outcome: SubmitOutcome;
    try {
      outcome = await within(submitted);
    } catch (error) {
      if (client.isHeard?.()) return { kind: 'queued' };
      // It may have come through, and must not run unseen.
      unqueue(meta.id).catch(onError);
      if (once) leaveJoined(submitted, once.caller).catch(onError);
      throw error;
    }
    if (outcome.kind === 'conflict') throw apiError('idempotency_key_reused');
    return outcome.kind === 'joined' ? outcome : { kind: 'queued' };
  }

  /** An answer that came too late may have made it a caller of another's request. */
  async function leaveJoined(submitted: Promise<SubmitOutcome>, caller: Caller): Promise<void> {
    const late = await submitted.catch(() => undefined);
    if (late?.kind === 'joined') await leave(late.id, notQueued, caller);
  }

  async function cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'> {
    const by = await follow(end(id, cancelled(reason), {}));
    // Only who leaves asks whether others are there.
    return by === 'shared' ? 'unknown' : by;
  }

  async function leave(id: string, reason: string, leaver?: Caller): Promise<'ended' | 'shared'> {
    const by = await endSurely(id, cancelled(reason), { leaver, freesKey: true });
    return by === 'shared' ? 'shared' : 'ended';
  }

  async function detach(id: string, caller?: Caller): Promise<DetachOutcome> {
    giveUpSending(id);
    const work = retryRefused(() => log.detach(id, caller), { withinMs: refusedMs });
    const detached = await follow(work);
    if (detached.kind === 'refused') throw detached.error;
    return detached.value;
  }

  /** Others may have joined it meanwhile: it was not cancelled, and they may ask again. */
  async function unqueue(id: string): Promise<void> {
    await endSurely(id, unqueued, { freesKey: true });
  }

  /** Nobody asks for it again: one that Redis refuses for now would run to its end unread. */
  async function endSurely(id: string, ending: Ending, options: FinishOptions) {
    const work = retryRefused(() => end(id, ending, options), { withinMs: refusedMs });
    const ended = await follow(work);
    if (ended.kind === 'refused') throw ended.error;
    return ended.value;
  }

  /** What is sent now is behind the request, and must not be overtaken by a second try to send that. */
  function giveUpSending(id: string): void {
    if (sending.has(id)) sending.set(id, false);
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
    giveUpSending(id);
    const { kind, data } = ending;
    const line = encodeEntry({ kind, data: { ...data, at: now() } } as Terminal);
    const outcome = await within(log.finish(id, line, kind, options));
    if (outcome.kind === 'gone') return 'unknown';
    if (outcome.kind === 'shared') return 'shared';
    // Also this may be our own word, sent again after its answer was lost.
    if (outcome.kind === 'ended' && outcome.by !== kind) return outcome.by;
    // Out of the queue if it still waits there. A worker that has it finds the terminal entry.
    await within(queue.remove(id)).catch(onError);
    return kind;
  }

  return {
    prepare,
    send,
    isSending: (id) => sending.has(id),
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

/** Milliseconds that Redis may refuse the word that a client has left. */
const refusedMs = 10_000;

const notQueued = 'the request could not be queued';

const cancelled = (reason: string): Ending => ({ kind: 'cancelled', data: { reason } });

const unqueued: Ending = { kind: 'failed', data: asFailed(apiError('queue_unavailable')) };
