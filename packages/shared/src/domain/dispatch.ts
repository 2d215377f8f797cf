/** A job that was made active, with its request's log sealed, for the worker that it is sent to. */
export type DispatchedJob = {
  /** Counts the jobs that this worker was sent in this shard. */
  number: number;
  id: string;
  /** When its log was sealed, by Redis' clock (ms since the epoch). */
  redisAt: number;
  /** Of its lock; the nonce of its seal, too. */
  token: string;
  /** JSON. */
  data: string;
  /** JSON, as BullMQ keeps them. */
  opts: string;
  body: string;
};

/** What Redis answered to a beat. */
export type BeatReply = {
  /** Numbers of the last job that the worker was sent, and of the last one that it may be sent; undefined where Redis knows none. */
  sent: number | undefined;
  last: number | undefined;
  /** When it was carried out, by Redis' clock, and when it was sent, by the worker's (ms since the epoch). */
  redisAt: number;
  sentAt: number;
};
