/**
 * The client APIs, by their paths. The one by which a request came decides the format of its body and of what its
 * readers get; its log is in the inner form.
 */
export const endpoints = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/messages',
  '/v1/responses',
  '/v1/responses/compact',
  '/v1/embeddings',
  '/v1/moderations',
  '/v1/rerank',
  '/v1/images/generations',
  '/v1/images/edits',
  '/v1/images/variations',
  '/v1/audio/speech',
  '/v1/audio/transcriptions',
  '/v1/audio/translations',
  '/v1beta/models:generateContent',
  '/v1beta/models:embedContent',
] as const;
export type Endpoint = (typeof endpoints)[number];

/**
 * How a request was created, which decides what may be done after a fault: a plain reader cannot take back
 * text that it received, a native reader can be asked to discard it.
 */
export type ReaderKind = 'plain' | 'native';

/** The properties of a request, set when it is created and never changed. */
export type RequestMeta = {
  id: string;
  /** The key that created it; undefined if no keys are configured. */
  keyId?: string | undefined;
  endpoint: Endpoint;
  /** As the client requested it: an alias, or a name that a wildcard serves. */
  model: string;
  /** The alias of the config that serves it, if that is another text (`openai/*`). */
  alias?: string | undefined;
  stream: boolean;
  /** Members of the request that its answer repeats, in the format of its endpoint; absent where it repeats none. */
  echo?: unknown;
  reader: ReaderKind;
  /** The caller asked for the usage chunk (`stream_options.include_usage`). */
  includeUsage: boolean;
  /** The request needs a reader: when its client leaves, it is cancelled. */
  attached: boolean;
  /** Milliseconds since the epoch. */
  createdAt: number;
  /** When it was sent to Redis, perhaps after a wait; milliseconds since the epoch. */
  sentAt?: number | undefined;
  /** Not to be served after this; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  metadata?: unknown;
  /** Its end is delivered to this URL, and to that of the config if it has one. Absent: to neither. */
  webhook?: { url?: string | undefined } | undefined;
  /** Its body can be read as long as its log. Absent: until it ends, by workers. */
  keepsBody?: true | undefined;
};

/** A provider and the model to ask it for. */
export type Target = { provider: string; model: string };

/**
 * Whether a target continues a trailing assistant message, and whether it then still calls tools. Some answer
 * in prose where a call was due.
 */
export type Prefill = boolean | 'with-tools';

/** The classes of waiting requests, highest first. */
export const priorities = ['high', 'normal', 'low'] as const;
export type Priority = (typeof priorities)[number];

/** The data that determines a request's position among those that wait. */
export type QueueStanding = {
  priority: Priority;
  /** The key's id; empty where no keys are configured. */
  key: string;
  /** The key's share within its class. */
  weight: number;
  /** Bytes of the request's body. */
  bytes: number;
};

/**
 * What may be done after a fault in the middle of an answer: `strict` excludes anchored continuations, `off`
 * allows only a fresh start, `always` allows an anchored one even if the request offers tools.
 */
export const continuations = ['auto', 'strict', 'off', 'always'] as const;
export type Continuation = (typeof continuations)[number];

/** Which targets may continue an answer of which readers have a part: of the same model, of the same maker of models, or any. */
export const continuationScopes = ['any', 'same-vendor', 'same-model'] as const;
export type ContinuationScope = (typeof continuationScopes)[number];

/** The data of a job in the queue. It is small, so that BullMQ's scripts and Bull Board stay fast. */
export type JobData = {
  /** The alias of the config. */
  model: string;
  /** What the client asked for, if it is not the alias (`openai/*`). */
  requestedModel?: string | undefined;
  endpoint: Endpoint;
  stream: boolean;
  reader: ReaderKind;
  attached: boolean;
  targets: Target[];
  /** Absent: the job goes before all others. */
  standing?: QueueStanding | undefined;
  createdAt: number;
  /** Not to be served after this; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  /** The client's. */
  traceparent?: string | undefined;
  /** The span of the request in its ingress, in the form of `traceparent`, and the client's `tracestate`. Absent: not traced. */
  trace?: { parent: string; state?: string | undefined } | undefined;
  /** The request's own setting; otherwise the model's applies. */
  continuation?: Continuation | undefined;
  /** The most that the request may cost, in billionths of a USD; absent: no cap. */
  maxCost?: number | undefined;
  account?: Account | undefined;
  /** Its upstream calls are recorded in the debug log. */
  debug?: true | undefined;
};

/** The model of a job as its client named it. */
export const requestedModelOf = ({
  model,
  requestedModel = model,
}: Pick<JobData, 'model' | 'requestedModel'>): string => requestedModel;

/** What a request holds of its key's limits until its end. Absent if the key has none. */
export type Account = {
  keyId: string;
  /** It counts among the key's concurrent requests. */
  leased: boolean;
  /** The tokens charged for it, and the slot of the window. */
  tokens?: { charged: number; slot: number } | undefined;
};

const idPattern = /^req_(\d{1,4})_([0-9a-z]{9})([0-9a-f]{24})$/;

/**
 * Creates a request id: `req_<shard>_<time><random>`, the time in milliseconds in base 36, so that ids sort
 * by age, then 90 random bits in hex. It is also the BullMQ job id (no `:`, not an integer) and part of every
 * Redis key of the request.
 */
export function newRequestId(shard: number, now: number): string {
  // From a random UUID, without the six bits in its middle that are not random.
  const random = crypto.randomUUID().replaceAll('-', '');
  return `req_${shard}_${now.toString(36).padStart(9, '0')}${random.slice(0, 12)}${random.slice(-12)}`;
}

/** The text of the shard in an id that is known to be valid. */
export const shardText = (id: string): string => id.slice(4, id.indexOf('_', 4));

/** The shard and the time (milliseconds since the epoch) in an id; undefined for an invalid one. */
export function parseRequestId(id: string): { shard: number; createdAt: number } | undefined {
  const match = idPattern.exec(id);
  if (!match) return undefined;
  return { shard: Number(match[1]), createdAt: Number.parseInt(match[2] ?? '', 36) };
}
