import type { EndedJob } from '../../domain/webhook.ts';
import type { EntryQueue } from '../entry-queue/port.ts';

/** The ended jobs with a webhook of which no delivery was made yet. The scripts that end requests write them. */
export type EndedJobs = EntryQueue<EndedJob>;

/** One message to one URL. */
export type Delivery = {
  /** The `webhook-id`: the same in each attempt. Letters, digits, `_` and `-`. */
  readonly id: string;
  /** The type of the event. */
  readonly event: string;
  readonly url: string;
  /** The request that it is about; null: it is about none. */
  readonly request: string | null;
  /** The JSON that is sent. */
  readonly body: string;
};

/** `waiting`: for its first attempt, or the next one, or under way. `dead`: it is not tried any more. */
export const deliveryStates = ['waiting', 'delivered', 'dead'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** A delivery as operators see it. Times are milliseconds since the epoch. */
export type DeliveryView = Omit<Delivery, 'body'> & {
  readonly state: DeliveryState;
  readonly createdAt: number;
  readonly attempts: number;
  /** When it is tried next; undefined: now, or never. */
  readonly nextAt: number | undefined;
  /** Of the last attempt. */
  readonly error: string | undefined;
  readonly status: number | undefined;
};

/** What an attempt came to. `status`: of the answer, if there was one. */
export type Attempted =
  | { readonly kind: 'delivered'; readonly status: number }
  | { readonly kind: 'failed'; readonly status?: number | undefined; readonly reason: string }
  /** The receiver does not want any more of them: no other attempt is made. */
  | { readonly kind: 'refused'; readonly status?: number | undefined; readonly reason: string }
  /** It was not tried, and is due again in so many milliseconds; this is no attempt. */
  | { readonly kind: 'postponed'; readonly ms: number };

export type DeliveryCounts = { readonly waiting: number; readonly dead: number };

/** `changed`: it is as the caller wants it. `busy`: an attempt is under way. */
export type DeliveryOutcome = 'changed' | 'unknown' | 'busy';

/**
 * The deliveries of a fleet. Guarantees: a delivery that was added is attempted until it is delivered or dead, also if the process
 * that attempts it is killed; one that is added again while it is known changes nothing.
 */
export type Deliveries = {
  /** Rejects, and adds nothing, if Redis does not answer or too many wait. */
  add(deliveries: readonly Delivery[]): Promise<void>;
  /** The newest first. */
  list(state: DeliveryState, limit: number): Promise<DeliveryView[]>;
  find(id: string): Promise<DeliveryView | undefined>;
  counts(): Promise<DeliveryCounts>;
  /** Attempts it at once, and as often as a new one. */
  replay(id: string): Promise<DeliveryOutcome>;
  remove(id: string): Promise<DeliveryOutcome>;
  /** Begins no further attempt; ends those under way, which are made again by the next control plane. */
  stop(): Promise<void>;
};

const [second, minute, hour] = [1000, 60_000, 3_600_000];

/** Milliseconds from one failed attempt to the next: those of the Standard Webhooks specification, over 28 hours. */
export const retryDelaysMs = [
  5 * second,
  5 * minute,
  30 * minute,
  2 * hour,
  5 * hour,
  10 * hour,
  10 * hour,
];

/**
 * Most deliveries about jobs that wait; while there are so many, ended jobs stay in their streams. At up to 11 KB each (`maxMetadataBytes`,
 * a URL, the rest) they take 220 MB of Redis, and the dead ones 110 MB.
 */
export const maxWaiting = 20_000;
/** Dead and delivered ones that are kept, and for how many seconds. */
export const keptDead = { count: 10_000, age: 30 * 86_400 };
export const keptDelivered = { count: 1000, age: 86_400 };
