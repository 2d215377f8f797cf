/** A job that an ingress sent straight to a worker: active, and with its log sealed for that worker. */
export type DispatchedJob = {
  /** The number of the dispatch among those to this worker in this shard. */
  number: number;
  id: string;
  /** When its log was sealed, by Redis' clock (ms since the epoch). */
  redisAt: number;
  /** The token of its lock, and the nonce of its seal. */
  token: string;
  /** JSON. */
  data: string;
  /** BullMQ's options of the job, as JSON. */
  opts: string;
  body: string;
};

/** The reply to a beat. */
export type BeatReply = {
  /**
   * Numbers of the last job sent to the worker, and of the last one that it may be sent; undefined if Redis
   * has none.
   */
  sent: number | undefined;
  last: number | undefined;
  /** When Redis recorded the beat, by its clock, and when the worker sent it, by the worker's clock (ms since the epoch). */
  redisAt: number;
  sentAt: number;
};
