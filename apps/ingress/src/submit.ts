import type { Config } from '@millrace/shared/config';
import { encodeEntry } from '@millrace/shared/domain/entry';
import type { TerminalKind } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import type {
  Endpoint,
  JobData,
  Priority,
  ReaderKind,
  RequestMeta,
  Standing,
  Target,
} from '@millrace/shared/domain/request';
import type {
  Caller,
  CreateOutcome,
  FinishOptions,
  Once,
  StreamLog,
} from '@millrace/shared/log/port';
import type { JobQueue } from '@millrace/shared/queue/port';
import { retryRefused } from '@millrace/shared/retry-refused';
import { mayUse } from './admission/keys.ts';
import type { Principal } from './admission/keys.ts';
import type { Door } from './door.ts';
import { ApiError, notFound } from './http/errors.ts';
import { keyReused, placeOf } from './idempotency.ts';
import type { Idempotency } from './idempotency.ts';
import { within } from './within.ts';

export type Submission = {
  principal: Principal;
  endpoint: Endpoint;
  /** The request body's text: it goes upstream as it is. */
  body: string;
  model: string;
  stream: boolean;
  includeUsage: boolean;
  reader: ReaderKind;
  /** Lives by its readers: their leaving cancels it. */
  attached: boolean;
  /** This ingress reads it from the start. */
  read: boolean;
  /** Milliseconds since the epoch. */
  deadlineAt?: number;
  /** As asked for; absent: the key's own. */
  priority?: Priority | undefined;
  continuation?: JobData['continuation'];
  metadata?: unknown;
  traceparent?: string;
  /** Made once, however often it is asked for. */
  idempotency?: Idempotency | undefined;
};

export type Submitter = {
  /**
   * The request as it will be, with its id; nothing is sent yet. Throws an ApiError on an unknown model,
   * and when the queue is too long for it.
   */
  prepare(submission: Submission): Prepared;
  /** Stores the request and queues its job. Throws an ApiError when the queue cannot take it. */
  send(prepared: Prepared, asker?: Asker): Promise<Sent>;
  /** From the call of `send` until it is known what became of it. */
  isSending(id: string): boolean;
  /** Ends a request for every reader, whatever state it is in. */
  cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'>;
  /**
   * A request's client is not there any more: ends it, unless another one has asked for it with the
   * same Idempotency-Key and is still there (`shared`). Who asks for it again later has it made anew.
   */
  leave(id: string, reason: string, caller?: Caller): Promise<'ended' | 'shared'>;
  /** Resolves when every cancellation that is under way has come through, or failed. */
  settled(): Promise<void>;
  /** Cancellations under way. */
  readonly cancelling: number;
};

export type Prepared = {
  meta: RequestMeta;
  job: JobData & { standing: Standing };
  submission: Submission;
  once: Once | undefined;
};

/** Who waits for the answer, as far as sending has to know. */
export type Asker = {
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

export type SubmitDeps = {
  config: Pick<Config, 'models' | 'shards'>;
  log: StreamLog;
  queue: JobQueue;
  door: Door;
  inbox: string;
  /** Resolves when the connection to Redis stands. */
  whenReady(): Promise<void>;
  onError(error: unknown): void;
  now?(): number;
};

export function createSubmitter(deps: SubmitDeps): Submitter {
  const { config, log, queue, door, inbox, whenReady, onError, now = Date.now } = deps;
  const cancelling = new Set<Promise<unknown>>();
  const sending = new Set<string>();
  let counter = 0;

  function prepare(submission: Submission): Prepared {
    const model = config.models[submission.model];
    if (!model || !mayUse(submission.principal, submission.model)) {
      throw notFound(
        `The model '${submission.model.slice(0, 200)}' does not exist or you do not have access to it.`,
        'model_not_found',
        'model',
      );
    }
    const createdAt = now();
    const { endpoint, stream, reader, attached, deadlineAt, traceparent, idempotency } = submission;
    const { keyId } = submission.principal;
    const standing = door.enter({
      keyId,
      priority: submission.priority,
      bytes: Buffer.byteLength(submission.body),
      patient: !submission.read,
      deadlineAt,
    });
    const place = idempotency && placeOf(keyId, idempotency.key, config.shards);
    const shard = place ? place.shard : counter++ % config.shards;
    const meta: RequestMeta = {
      id: newRequestId(shard, createdAt),
      keyId,
      endpoint,
      model: submission.model,
      stream,
      reader,
      includeUsage: submission.includeUsage,
      attached,
      createdAt,
      deadlineAt,
      metadata: submission.metadata,
    };
    // Each once: the ladder tells targets apart by what they are.
    const targets = model.targets
      .map((target) => ({ provider: target.provider, model: target.model }))
      .filter((one, i, all) => all.findIndex((other) => isSameTarget(one, other)) === i);
    const job: Prepared['job'] = {
      model: submission.model,
      endpoint,
      stream,
      reader,
      attached,
      targets,
      standing,
      createdAt,
      deadlineAt,
      traceparent,
      continuation: submission.continuation,
    };
    const once = idempotency && {
      hash: place?.hash ?? '',
      fingerprint: idempotency.fingerprint,
      caller: { token: meta.id, inbox: attached ? inbox : undefined },
    };
    return { meta, job, submission, once };
  }

  async function send(prepared: Prepared, asker: Asker = {}): Promise<Sent> {
    const { id } = prepared.meta;
    sending.add(id);
    const passage = door.pass(prepared.job.standing);
    try {
      const sent = await sendNow(prepared, asker);
      if (sent.kind === 'queued') passage.arrived();
      else passage.turnedBack();
      return sent;
    } catch (error) {
      passage.turnedBack();
      throw error;
    } finally {
      sending.delete(id);
    }
  }

  async function sendNow(prepared: Prepared, asker: Asker): Promise<Sent> {
    const { meta, job, submission, once } = prepared;
    // Nothing is left with a connection that is away: it would be served when nobody waits any more.
    await within(whenReady());
    await within(door.checkMemory());
    // Who left before this found nothing to end; who leaves from here on is behind the two commands.
    if (asker.hasLeft?.()) return { kind: 'unsent' };
    meta.sentAt = now();
    if (once) return sendOnce(prepared, once, asker);
    // On one connection, in this order: when a worker has the job, the body and the inbox are there.
    const sent = Promise.all([
      log.create(meta, submission.body, submission.read ? inbox : undefined),
      queue.add(meta.id, job),
    ]);
    try {
      await within(sent);
    } catch (error) {
      if (asker.isHeard?.()) return { kind: 'queued' };
      // What did get through must not run unseen. Behind the two on the same connection.
      leave(meta.id, notQueued).catch(onError);
      throw error;
    }
    return { kind: 'queued' };
  }

  /** In two steps: there is a job only where the key did not stand for another request. */
  async function sendOnce(
    { meta, job, submission }: Prepared,
    once: Once,
    asker: Asker,
  ): Promise<Sent> {
    const created = log.create(meta, submission.body, submission.read ? inbox : undefined, once);
    try {
      const outcome = await within(created);
      if (outcome.kind === 'joined') return outcome;
      if (outcome.kind === 'conflict') throw keyReused();
      await within(queue.add(meta.id, job));
    } catch (error) {
      if (asker.isHeard?.()) return { kind: 'queued' };
      if (error instanceof ApiError && error.status < 500) throw error;
      leave(meta.id, notQueued).catch(onError);
      leaveJoined(created, once).catch(onError);
      throw error;
    }
    return { kind: 'queued' };
  }

  /** An answer that came too late may have made it a caller of another's request. */
  async function leaveJoined(created: Promise<CreateOutcome>, { caller }: Once): Promise<void> {
    const late = await created;
    if (late.kind === 'joined') await leave(late.id, notQueued, caller);
  }

  async function cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'> {
    const by = await follow(end(id, reason, {}));
    // Only who leaves asks whether others are there.
    return by === 'shared' ? 'unknown' : by;
  }

  async function leave(id: string, reason: string, leaver?: Caller): Promise<'ended' | 'shared'> {
    const ending = () => end(id, reason, { leaver, freesKey: true });
    // Nobody asks for it again: one that Redis refuses for now would run to its end unread.
    const left = await follow(retryRefused(ending, { withinMs: refusedMs }));
    if (left.kind === 'refused') throw left.error;
    return left.value === 'shared' ? 'shared' : 'ended';
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
    reason: string,
    options: FinishOptions,
  ): Promise<TerminalKind | 'unknown' | 'shared'> {
    const line = encodeEntry({ kind: 'cancelled', data: { reason, at: now() } });
    const outcome = await within(log.finish(id, line, 'cancelled', options));
    if (outcome.kind === 'gone') return 'unknown';
    if (outcome.kind === 'shared') return 'shared';
    // Also this may be our own word, sent again after its answer was lost.
    if (outcome.kind === 'ended' && outcome.by !== 'cancelled') return outcome.by;
    // Out of the queue if it still waits there. A worker that has it finds the terminal entry.
    await within(queue.remove(id)).catch(onError);
    return 'cancelled';
  }

  return {
    prepare,
    send,
    isSending: (id) => sending.has(id),
    cancel,
    leave,
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

const isSameTarget = (a: Target, b: Target): boolean =>
  a.provider === b.provider && a.model === b.model;
