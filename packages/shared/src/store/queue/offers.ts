import type { Redis } from 'ioredis';
import type { BeatReply, DispatchedJob } from '../../domain/dispatch.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../stream-log/redis-scripts.ts';

export type OffersOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id. */
  name: string;
  /** Free places over all shards, or 0 while no job may come unasked. */
  free(): number;
  /** A job that was sent to this worker has not arrived, and does not arrive any more. */
  onLost(shard: number): void;
  onError(error: unknown): void;
};

/**
 * What a worker offers to those that submit jobs: they send it so many without its asking, as long as nobody waits in the
 * queue (lua/dispatch-job.lua). Each of them has a number, by which one that is lost is noticed.
 */
export type Offers = {
  /** What is free, or what may come, is another. */
  changed(): void;
  /** To be called from time to time while places are taken and given back: what was withdrawn is offered again here. */
  refresh(): void;
  /** A job came. Returns when its log was sealed, by our clock, and rather too early than too late. */
  received(shard: number, job: Pick<DispatchedJob, 'number' | 'redisAt'>): number;
  /** With every beat: what Redis knows of the jobs that it has sent, where it knows. */
  onBeat(shard: number, known: BeatReply): void;
  /** The subscription was away: the numbers say nothing of what was sent until now. */
  onGap(): void;
  /** Withdraws everything; ends when what was on its way is here, or after a while. */
  close(): Promise<void>;
};

/** Jobs on their way to a worker at most: those that wait for the reaper when it stops. */
const maxInFlight = 16;
/** Milliseconds that the name outlives its last offer. */
const ttlMs = 86_400_000;
/** Milliseconds that the end waits for jobs which are on their way. */
const arriveMs = 500;
/** Free places by which an offer may be wrong before it is told again, while others compare by it. */
const maxDrift = 8;

const script = loadScript(new URL('lua/offer.lua', import.meta.url));

type Shard = {
  /** Numbers: of the last job that came, of the last one that may come, of one that has come by the next beat unless it is lost. */
  received: number;
  last: number;
  due: number;
  /** Free places, as told, less those that came since. */
  offered: number;
  /** Under way; what changes meanwhile is told behind it. */
  sending: Promise<void> | undefined;
  mustSend: boolean;
  /** What Redis has sent until now does not count: it was sent to a subscription that is no more. */
  isNew: boolean;
  /** How far our clock is ahead of that of Redis, at least; ms. */
  aheadMs: number;
};

export function createOffers(options: OffersOptions): Offers {
  const { redis, keys, shards, name, free, onLost, onError } = options;
  const makeShard = (): Shard => ({
    received: 0,
    last: 0,
    due: 0,
    offered: 0,
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

  const share = () => (isClosed ? 0 : Math.ceil(free() / shards));
  const inFlight = ({ last, received }: Shard) => Math.max(0, last - received);
  const haveArrived = () => all.every((one) => inFlight(one) === 0);

  function sendOffer(number: number, one: Shard): Promise<void> {
    one.mustSend = true;
    one.sending ??= sendUntilCurrent(number, one)
      .catch(onError)
      .finally(() => {
        one.sending = undefined;
      });
    return one.sending;
  }

  async function sendUntilCurrent(number: number, one: Shard): Promise<void> {
    while (one.mustSend) {
      one.mustSend = false;
      const { isNew } = one;
      one.offered = share();
      const touched = [keys.offers(number), keys.dispatches(number)];
      const args = [name, one.received, one.offered, maxInFlight, ttlMs];
      const [sent, last] = (await runScript(redis, script, touched, args)) as [number, number];
      one.last = last;
      if (!isNew) continue;
      one.isNew = false;
      one.received = Math.max(one.received, sent);
    }
  }

  /** `may`: places are offered where none are. Not by every job that ends, where few places come and go. */
  function refresh(mayOfferAnew: boolean): void {
    const places = share();
    for (const [number, one] of all.entries()) {
      const left = inFlight(one);
      const isLess = places < Math.min(left, one.offered);
      // Where few are free they come and go, and are left to those who fetch.
      const isUsed =
        left > 0 ? left <= maxInFlight / 2 && places >= maxInFlight : mayOfferAnew && places > 0;
      const isOff = mayOfferAnew && left > 0 && Math.abs(one.offered - places) > maxDrift;
      if (isLess || isUsed || isOff) void sendOffer(number, one);
    }
  }

  /** At the end of the turn: what came in it has its place then. */
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
      one.offered -= 1;
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
        onLost(number);
      }
      one.due = one.isNew ? 0 : (sent ?? 0);
      const isForgotten = last === undefined && inFlight(one) > 0;
      const isOpen = inFlight(one) > 0 || share() === 0;
      if (one.isNew || isForgotten || !isOpen) void sendOffer(number, one);
    },
    onGap() {
      for (const one of all) Object.assign(one, { isNew: true, due: 0 });
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
