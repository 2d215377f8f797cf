import type { Config } from '@millrace/shared/config';
import type { Prices } from '@millrace/shared/cost/prices';
import { serveModel, targetsOf } from '@millrace/shared/domain/model-names';
import { newRequestId } from '@millrace/shared/domain/request';
import type {
  Endpoint,
  JobData,
  Priority,
  ReaderKind,
  RequestMeta,
  Target,
} from '@millrace/shared/domain/request';
import type { QueuedJob } from '@millrace/shared/store/submit/port';
import type { Once } from '@millrace/shared/store/stream-log/port';
import { mayUse } from '../auth/api-keys.ts';
import type { Principal } from '../auth/api-keys.ts';
import type { KeyRing } from '../auth/key-ring.ts';
import type { AdmissionController } from '../admission/controller.ts';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { capVerdict } from './cost-cap.ts';
import { placeOf } from './idempotency.ts';
import type { Idempotency } from './idempotency.ts';

/** A client's request, the same for every API and transport. */
export type Submission = {
  principal: Principal;
  endpoint: Endpoint;
  /** The request body's text, which is sent upstream unchanged where the provider uses the format of the endpoint. */
  body: string;
  /** The request in the inner form, for estimates; absent: the body is it. */
  inner?: string | undefined;
  /** What its answer repeats of it. */
  echo?: unknown;
  /** Its body is kept as long as its log. */
  keepsBody?: true | undefined;
  model: string;
  stream: boolean;
  includeUsage: boolean;
  reader: ReaderKind;
  /** It is cancelled when its client leaves. */
  attached: boolean;
  /** Its client reads it from the start, through this ingress. */
  read: boolean;
  /** Milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  /** Undefined: the priority of the key. */
  priority?: Priority | undefined;
  continuation?: JobData['continuation'];
  /** The most that it may cost, in billionths of a USD; undefined: no cap. */
  maxCost?: number | undefined;
  metadata?: unknown;
  /** Its end is delivered there. */
  webhook?: RequestMeta['webhook'];
  traceparent?: string | undefined;
  /** Of its span; absent: it is not traced. */
  trace?: JobData['trace'];
  /** Repeated calls with the same key create one request. */
  idempotency?: Idempotency | undefined;
};

/** A request that was admitted; it is not in Redis yet, and does not change any more. */
export type Prepared = {
  readonly kind: 'prepared';
  readonly meta: Readonly<RequestMeta>;
  readonly job: Readonly<QueuedJob>;
  readonly body: string;
  /** The body in the inner form. */
  readonly inner: string;
  /** The inbox of this ingress, if the client reads the answer here. */
  readonly inbox: string | undefined;
  readonly once: Once | undefined;
};

export type PrepareDeps = {
  config: Pick<Config, 'models' | 'shards' | 'webhooks'>;
  admission: Pick<AdmissionController, 'admit'>;
  keyRing: Pick<KeyRing, 'renew'>;
  /** Whether a new request of this key is recorded in the debug log. */
  debugs(keyId: string | undefined): boolean;
  /** Of the present config. */
  prices: Prices;
  /** The name of this ingress' inbox. */
  inbox: string;
  now?(): number;
};

export type Prepare = (submission: Submission) => Prepared | Refused;

/** Gives a submission its id, its shard, its targets and its standing in the queue. */
export function createPreparer(deps: PrepareDeps): Prepare {
  const { config, admission, debugs, prices, inbox, now = Date.now } = deps;
  const { renew } = deps.keyRing;
  let counter = 0;

  return (submission) => {
    // Its key may have changed, or ended, since the client was authenticated: a WebSocket lasts, and a body takes its time.
    const renewed = renew(submission.principal);
    if (renewed.kind === 'refused') return renewed;
    const { principal } = renewed;
    const served = serveModel(config.models, submission.model);
    if (!served || !mayUse(principal, submission.model)) {
      return refuse('model_not_found', { model: submission.model });
    }
    const createdAt = now();
    const { maxCost, body, inner = body } = submission;
    const { alias, rest } = served;
    const targets = targetsOf(served.model.targets, rest);
    const tooDear =
      maxCost !== undefined &&
      capVerdict({ ...submission, body: inner, maxCost }, { targets }, prices, createdAt);
    if (tooDear) return tooDear;
    const { endpoint, stream, reader, attached, deadlineAt, traceparent, trace, idempotency } =
      submission;
    const { keyId } = principal;
    const admitted = admission.admit({
      keyId,
      model: alias,
      priority: submission.priority,
      bytes: Buffer.byteLength(body),
      isBackground: !submission.read,
      deadlineAt,
    });
    if (admitted.kind === 'refused') return admitted;
    const place = idempotency && placeOf(keyId, idempotency.key, config.shards);
    const shard = place ? place.shard : counter++ % config.shards;
    // All of them are reported to the fleet's own URL. A plain request that outlives its client is none.
    const isDetachedJob = reader === 'native' && !attached;
    const meta: RequestMeta = {
      id: newRequestId(shard, createdAt),
      keyId,
      endpoint,
      model: submission.model,
      alias: rest === undefined ? undefined : alias,
      stream,
      echo: submission.echo,
      keepsBody: submission.keepsBody,
      reader,
      includeUsage: submission.includeUsage,
      attached,
      createdAt,
      deadlineAt,
      metadata: submission.metadata,
      webhook:
        submission.webhook ?? (isDetachedJob && reportsJobs(config.webhooks) ? {} : undefined),
    };
    // Each target once, because the worker identifies them by provider and model.
    const distinct = targets
      .map((target) => ({ provider: target.provider, model: target.model }))
      .filter((one, i, all) => all.findIndex((other) => isSameTarget(one, other)) === i);
    const job: QueuedJob = {
      model: alias,
      requestedModel: rest === undefined ? undefined : submission.model,
      endpoint,
      stream,
      reader,
      attached,
      targets: distinct,
      standing: admitted.standing,
      createdAt,
      deadlineAt,
      traceparent,
      trace,
      continuation: submission.continuation,
      maxCost,
      ...(debugs(keyId) && { debug: true as const }),
    };
    const once = idempotency && {
      hash: place?.hash ?? '',
      fingerprint: idempotency.fingerprint,
      caller: { token: meta.id, inbox: attached ? inbox : undefined },
    };
    const read = submission.read ? inbox : undefined;
    return { kind: 'prepared', meta, job, body, inner, inbox: read, once };
  };
}

const isSameTarget = (a: Target, b: Target): boolean =>
  a.provider === b.provider && a.model === b.model;

/** Whether the fleet's own URL gets the ends of jobs. */
const reportsJobs = (webhooks: Config['webhooks']): boolean =>
  webhooks?.url !== undefined && webhooks.events.some((event) => event.startsWith('job.'));
