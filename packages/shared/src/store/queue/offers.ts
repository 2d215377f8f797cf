import type { Redis } from 'ioredis';
import type { BeatReply, DispatchedJob } from '../../domain/dispatch.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';

export type OffersOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id. */
  name: string;
  /** Free slots over all shards, or 0 while no job may be dispatched. */
  free(): number;
  /** Runs of this worker: a job goes to the one with the fewest runs among those with free slots. */
  load(): number;
  /** A job that was sent to this worker did not arrive. */
  onLost(shard: number): void;
  onError(error: unknown): void;
};

/**
 * A worker offers free slots: while no job waits in the queue, an ingress sends a new job straight to a worker with an
 * offer (lua/dispatch-job.lua). Each dispatch has a number, by which the worker notices a lost one.
 */
export type Offers = {
  /** The number of free slots has changed. */
  changed(): void;
  /** Renews withdrawn offers; call it periodically. */
  refresh(): void;
  /**
   * A job has arrived. Returns when its log was sealed, by this process' clock; the time may be too early but
   * not too late.
   */
  received(shard: number, job: Pick<DispatchedJob, 'number' | 'redisAt'>): number;
  /** Call it with the reply of every beat, which has Redis' numbers. */
  onBeat(shard: number, known: BeatReply): void;
  /** The subscription was interrupted: the numbers do not show whether jobs sent before arrived. */
  onGap(): void;
  /** Withdraws the offers; ends when the jobs in flight have arrived, or after `arriveMs`. */
  close(): Promise<void>;
};

/** Most jobs in flight to a worker of one shard: if the worker dies, they wait for the reaper. */
const maxInFlight = 16;
/** Milliseconds that the keys outlive the last offer. */
const ttlMs = 86_400_000;
/** Milliseconds that `close` waits for jobs in flight. */
const arriveMs = 500;
/** Runs by which an offer may be wrong before the worker sends it again; Redis compares workers by it. */
const maxDrift = 8;

/**
 * Milliseconds without an offer after a job was lost, or an offer refused. Redis does not notice a
 * subscription whose connection is dead but not closed; the ping of its connection does within 20 s and
 * subscribes again (`onGap`). That ends the pause early, and so does a job that arrives.
 */
const doubtMs = 30_000;

const script = loadScript(new URL('lua/offer.lua', import.meta.url));

type Shard = {
  /** Number of the last job that has arrived. */
  received: number;
  /** Number of the last job that may be sent. */
  last: number;
  /** Number of a job that has arrived by the next beat, unless it is lost. */
  due: number;
  /** Free slots as last offered, less the jobs that have arrived since. */
  offered: number;
  /** Runs as last offered, plus the jobs that have arrived since. */
  load: number;
  /** Nothing is offered before this time; ms of performance.now(). */
  pausedUntil: number;
  /** The current call; changes during it cause another call. */
  sending: Promise<void> | undefined;
  mustSend: boolean;
  /** Jobs sent until now do not count: they went to a subscription that has ended. */
  isNew: boolean;
  /** Milliseconds that this process' clock is ahead of Redis' clock, at least. */
  aheadMs: number;
};

export function createOffers(options: OffersOptions): Offers {
  const { redis, keys, shards, name, free, load, onLost, onError } = options;
  const makeShard = (): Shard => ({
    received: 0,
    last: 0,
    due: 0,
    offered: 0,
    load: 0,
    pausedUntil: -Infinity,
    sending: undefined,
    mustSend: false,
    isNew: true,
    aheadMs: -Infinity,
  });
  const all = Array.from({ length: shards }, makeShard);
  let isDue = false;
  let isUsedUpSoon = false;
  let isClosed = false;
  let onArrived = (): void => {};

  const isPaused = (one: Shard) => performance.now() < one.pausedUntil;
  const share = (one: Shard) => (isClosed || isPaused(one) ? 0 : Math.floor(free() / shards));
  function pause(one: Shard): void {
    one.pausedUntil = performance.now() + doubtMs;
  }
  const inFlight = ({ last, received }: Shard) => Math.max(0, last - received);
  const haveArrived = () => all.every((one) => inFlight(one) === 0);

  function sendOffer(number: number, one: Shard): Promise<void> {
    one.mustSend = true;
    one.sending ??= sendUntilCurrent(number, one)
      .catch((error) => {
        pause(one);
        onError(error);
      })
      .finally(() => {
        one.sending = undefined;
      });
    return one.sending;
  }

  async function sendUntilCurrent(number: number, one: Shard): Promise<void> {
    while (one.mustSend) {
      one.mustSend = false;
      const { isNew } = one;
      one.offered = share(one);
      one.load = load();
      const touched = [keys.offers(number), keys.dispatches(number)];
      const args = [name, one.received, one.offered, maxInFlight, ttlMs, one.load];
      const [sent, last] = (await runScript(redis, script, touched, args)) as [number, number];
      one.last = last;
      if (!isNew) continue;
      one.isNew = false;
      one.received = Math.max(one.received, sent);
    }
  }

  /**
   * `mayOfferAnew`: offers slots even if none are offered now. Not after every job that ends, because single
   * slots come and go.
   */
  function refresh(mayOfferAnew: boolean): void {
    for (const [number, one] of all.entries()) {
      const places = share(one);
      const left = inFlight(one);
      const isLess = places < Math.min(left, one.offered);
      // Single free slots come and go: the fetch loops use them.
      const isUsed =
        left > 0 ? left <= maxInFlight / 2 && places >= maxInFlight : mayOfferAnew && places > 0;
      const isOff = mayOfferAnew && left > 0 && Math.abs(one.load - load()) > maxDrift;
      if (isLess || isUsed || isOff) void sendOffer(number, one);
    }
  }

  /** At the end of this turn of the event loop, when jobs that arrived in it have their slots. */
  function refreshSoon(isUsedUp: boolean): void {
    isUsedUpSoon ||= isUsedUp;
    if (isDue) return;
    isDue = true;
    setImmediate(() => {
      const may = isUsedUpSoon;
      [isDue, isUsedUpSoon] = [false, false];
      refresh(may);
    });
  }

  return {
    changed: () => refreshSoon(false),
    refresh: () => refresh(true),
    received(number, { number: sent, redisAt }) {
      const one = all[number];
      if (!one) return -Infinity;
      const isGap = sent > one.received + 1 && !one.isNew;
      one.received = Math.max(one.received, sent);
      // The subscription works.
      one.pausedUntil = -Infinity;
      one.offered -= 1;
      one.load += 1;
      if (isGap) onLost(number);
      if (isClosed) {
        if (haveArrived()) onArrived();
      } else refreshSoon(inFlight(one) === 0);
      return redisAt + one.aheadMs;
    },
    onBeat(number, { sent, last, redisAt, sentAt }) {
      const one = all[number];
      if (!one || isClosed) return;
      one.aheadMs = sentAt - redisAt;
      if (one.due > one.received) {
        one.received = one.due;
        pause(one);
        void sendOffer(number, one);
        onLost(number);
      }
      one.due = one.isNew ? 0 : (sent ?? 0);
      const isForgotten = last === undefined && inFlight(one) > 0;
      const isOpen = inFlight(one) > 0 || share(one) === 0;
      if (isPaused(one)) return;
      if (one.isNew || isForgotten || !isOpen) void sendOffer(number, one);
    },
    onGap() {
      for (const one of all) Object.assign(one, { isNew: true, due: 0, pausedUntil: -Infinity });
    },
    async close() {
      isClosed = true;
      const { promise: arrived, resolve } = Promise.withResolvers<void>();
      onArrived = resolve;
      const timer = setTimeout(resolve, arriveMs);
      const told = Promise.all(all.map((one, number) => sendOffer(number, one)));
      await Promise.race([arrived, told]);
      if (haveArrived()) resolve();
      await arrived;
      clearTimeout(timer);
      for (const [number, one] of all.entries()) {
        if (inFlight(one) > 0) onLost(number);
        redis.hdel(keys.dispatches(number), `sent:${name}`, `last:${name}`).catch(onError);
      }
    },
  };
}
