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
  Target,
} from '@millrace/shared/domain/request';
import type { StreamLog } from '@millrace/shared/log/port';
import type { JobQueue } from '@millrace/shared/queue/port';
import { mayUse } from './admission/keys.ts';
import type { Principal } from './admission/keys.ts';
import type { Door } from './door.ts';
import { notFound } from './http/errors.ts';
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
};

export type Submitter = {
  /**
   * The request as it will be, with its id; nothing is sent yet. Throws an ApiError on an unknown model,
   * and when the queue is too long for it.
   */
  prepare(submission: Submission): Prepared;
  /**
   * Stores the request and queues its job. Throws an ApiError when the queue cannot take it.
   * `isHeard`: something came of it already, so that it was queued.
   */
  send(prepared: Prepared, isHeard?: () => boolean): Promise<void>;
  /** Ends a request for every reader, whatever state it is in. */
  cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'>;
  /** Resolves when every cancellation that is under way has come through, or failed. */
  settled(): Promise<void>;
};

export type Prepared = { meta: RequestMeta; job: JobData; submission: Submission };

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
    const shard = counter++ % config.shards;
    const { endpoint, stream, reader, attached, deadlineAt, traceparent } = submission;
    const standing = door.enter({
      keyId: submission.principal.keyId,
      priority: submission.priority,
      bytes: Buffer.byteLength(submission.body),
      patient: !submission.read,
      deadlineAt,
    });
    const meta: RequestMeta = {
      id: newRequestId(shard, createdAt),
      keyId: submission.principal.keyId,
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
    const job: JobData = {
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
    return { meta, job, submission };
  }

  async function send({ meta, job, submission }: Prepared, isHeard = () => false): Promise<void> {
    // Nothing is left with a connection that is away: it would be served when nobody waits any more.
    await within(whenReady());
    await within(door.checkMemory());
    // On one connection, in this order: when a worker has the job, the body and the inbox are there.
    const sent = Promise.all([
      log.create(meta, submission.body, submission.read ? inbox : undefined),
      queue.add(meta.id, job),
    ]);
    try {
      await within(sent);
    } catch (error) {
      if (isHeard()) return;
      // What did get through must not run unseen. Behind the two on the same connection.
      cancel(meta.id, 'the request could not be queued').catch(onError);
      throw error;
    }
  }

  async function cancel(id: string, reason: string): Promise<TerminalKind | 'unknown'> {
    const work = end(id, reason);
    cancelling.add(work);
    try {
      return await work;
    } finally {
      cancelling.delete(work);
    }
  }

  async function end(id: string, reason: string): Promise<TerminalKind | 'unknown'> {
    const line = encodeEntry({ kind: 'cancelled', data: { reason, at: now() } });
    const outcome = await within(log.finish(id, line, 'cancelled'));
    if (outcome.kind === 'gone') return 'unknown';
    if (outcome.kind === 'ended') return outcome.by;
    // Out of the queue if it still waits there. A worker that has it finds the terminal entry.
    await queue.remove(id).catch(onError);
    return 'cancelled';
  }

  return {
    prepare,
    send,
    cancel,
    settled: async () => {
      await Promise.allSettled(cancelling);
    },
  };
}

const isSameTarget = (a: Target, b: Target): boolean =>
  a.provider === b.provider && a.model === b.model;
