/** The API a request came in by; it decides the format of its chunks and of its result. */
export const endpoints = ['/v1/chat/completions'] as const;
export type Endpoint = (typeof endpoints)[number];

/**
 * How a request was created, and so what may be done after a fault: text that a plain reader was
 * sent cannot be taken back, a native one can be told to forget it.
 */
export type ReaderKind = 'plain' | 'native';

/** What is known of a request from its first moment and never changes. */
export type RequestMeta = {
  id: string;
  /** The key that created it; undefined where no keys are configured. */
  keyId?: string | undefined;
  endpoint: Endpoint;
  /** The public alias that was asked for. */
  model: string;
  stream: boolean;
  reader: ReaderKind;
  /** The caller asked for the usage chunk (`stream_options.include_usage`). */
  includeUsage: boolean;
  /** The request lives only as long as it has a reader: when its client leaves, it is cancelled. */
  attached: boolean;
  /** Milliseconds since the epoch. */
  createdAt: number;
  /** When it was sent to Redis, for which it may have waited; milliseconds since the epoch. */
  sentAt?: number | undefined;
  /** Not to be served after this; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  metadata?: unknown;
};

/** A provider and the model to ask it for. */
export type Target = { provider: string; model: string };

/**
 * Whether a target continues a trailing assistant message, and whether it then calls tools where it
 * would have without one. Some answer in prose where a call was due.
 */
export type Prefill = boolean | 'with-tools';

/** Which waiting requests go first; the first one before the others. */
export const priorities = ['high', 'normal', 'low'] as const;
export type Priority = (typeof priorities)[number];

/** What decides a request's place among those that wait. */
export type QueueStanding = {
  priority: Priority;
  /** The key's id; empty where no keys are configured. */
  key: string;
  /** The key's share within its class. */
  weight: number;
  /** Of the request's body. */
  bytes: number;
};

/**
 * What may be done after a fault in mid-answer: `strict` without an anchored continuation, `off` nothing
 * but a fresh start, `always` an anchored one also where the request offers tools.
 */
export const continuations = ['auto', 'strict', 'off', 'always'] as const;
export type Continuation = (typeof continuations)[number];

/** What the queue carries: small, so that BullMQ's scripts and Bull Board stay light. */
export type JobData = {
  model: string;
  endpoint: Endpoint;
  stream: boolean;
  reader: ReaderKind;
  attached: boolean;
  targets: Target[];
  /** Absent: before all others. */
  standing?: QueueStanding | undefined;
  createdAt: number;
  /** Not to be served after this; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  traceparent?: string | undefined;
  /** The request's own word on what may be done after a fault in mid-answer; else the model's. */
  continuation?: Continuation | undefined;
  account?: Account | undefined;
};

/** What a request holds of its key's limits until its end. Absent where the key has none. */
export type Account = {
  keyId: string;
  /** It counts among the requests that the key has under way. */
  leased: boolean;
  /** What was charged for it, and in which slot of the window. */
  tokens?: { charged: number; slot: number } | undefined;
};

const idPattern = /^req_(\d{1,4})_([0-9a-z]{9})([0-9a-f]{24})$/;

/**
 * A new request id: `req_<shard>_<time><random>`, the time in base 36 milliseconds so that ids sort
 * by age, then 90 random bits in hex. It is the BullMQ job id too (no `:`, not an integer) and part
 * of every Redis key of the request.
 */
export function newRequestId(shard: number, now: number): string {
  // Of a random UUID, without the six bits in its middle that are not random.
  const random = crypto.randomUUID().replaceAll('-', '');
  return `req_${shard}_${now.toString(36).padStart(9, '0')}${random.slice(0, 12)}${random.slice(-12)}`;
}

/** The shard's own text in an id that is known to be one of ours. */
export const shardText = (id: string): string => id.slice(4, id.indexOf('_', 4));

/** The shard and the time (milliseconds since the epoch) that an id names; undefined when it is none of ours. */
export function parseRequestId(id: string): { shard: number; createdAt: number } | undefined {
  const match = idPattern.exec(id);
  if (!match) return undefined;
  return { shard: Number(match[1]), createdAt: Number.parseInt(match[2] ?? '', 36) };
}
