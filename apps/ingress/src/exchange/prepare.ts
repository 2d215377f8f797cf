import type { Config } from '@millrace/shared/config';
import { newRequestId } from '@millrace/shared/domain/request';
import type {
  Endpoint,
  JobData,
  Priority,
  ReaderKind,
  RequestMeta,
  QueueStanding,
  Target,
} from '@millrace/shared/domain/request';
import type { Once } from '@millrace/shared/store/stream-log/port';
import { mayUse } from '../auth/api-keys.ts';
import type { Principal } from '../auth/api-keys.ts';
import type { AdmissionController } from '../admission/controller.ts';
import { apiError } from '../errors.ts';
import { placeOf } from './idempotency.ts';
import type { Idempotency } from './idempotency.ts';

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

export type Prepared = {
  meta: RequestMeta;
  job: JobData & { standing: QueueStanding };
  submission: Submission;
  once: Once | undefined;
};

export type PrepareDeps = {
  config: Pick<Config, 'models' | 'shards'>;
  admission: Pick<AdmissionController, 'admit'>;
  /** This ingress, as one who reads. */
  inbox: string;
  now(): number;
};

/** Makes of what is asked for the request as it will be: its id, its shard, its targets, its place in the queue. */
export function createPreparer({ config, admission, inbox, now }: PrepareDeps) {
  let counter = 0;

  return function prepare(submission: Submission): Prepared {
    const model = config.models[submission.model];
    if (!model || !mayUse(submission.principal, submission.model)) {
      throw apiError('model_not_found', { model: submission.model });
    }
    const createdAt = now();
    const { endpoint, stream, reader, attached, deadlineAt, traceparent, idempotency } = submission;
    const { keyId } = submission.principal;
    const standing = admission.admit({
      keyId,
      model: submission.model,
      priority: submission.priority,
      bytes: Buffer.byteLength(submission.body),
      isBackground: !submission.read,
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
  };
}

const isSameTarget = (a: Target, b: Target): boolean =>
  a.provider === b.provider && a.model === b.model;
