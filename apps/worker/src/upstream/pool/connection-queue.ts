import { UpstreamError } from '../faults.ts';
import type { PooledRequest } from './request.ts';
import { countWait } from './stats.ts';
import type { PoolCounters } from './stats.ts';

/** Milliseconds after which a request that ran out of patience looks again whether its connection came. */
const lookAgainMs = 50;

/** The requests that wait for a connection, in the order in which they came. */
export function createConnectionQueue({
  waitMs,
  now,
  counters,
  onTheWay,
}: {
  waitMs: number;
  now: () => number;
  counters: PoolCounters;
  /** Requests that the connections which are being opened will take, from the front. */
  onTheWay: () => number;
}) {
  const waiting = new Set<PooledRequest>();

  function remove(request: PooledRequest): void {
    if (!waiting.delete(request)) return;
    clearTimeout(request.waitTimer);
    countWait(counters, now() - request.waitingSince);
  }

  function expire(request: PooledRequest): void {
    let ahead = 0;
    for (const one of waiting) {
      if (one === request) break;
      ahead += 1;
    }
    // One is being opened for it, which has a time of its own and ends in a clearer error.
    if (ahead < onTheWay()) {
      request.waitTimer = setTimeout(expire, lookAgainMs, request);
      return;
    }
    remove(request);
    counters.waitTimeouts += 1;
    const message = `No connection to the provider was free within ${waitMs} ms.`;
    request.fail(new UpstreamError('upstream_pool_exhausted', message));
  }

  return {
    get size() {
      return waiting.size;
    },
    join(request: PooledRequest): void {
      request.waitingSince = now();
      request.waitTimer = setTimeout(expire, waitMs, request);
      waiting.add(request);
    },
    leave: remove,
    /** The one that has waited longest; it waits no more. */
    next(): PooledRequest | undefined {
      const [first] = waiting;
      if (first) remove(first);
      return first;
    },
  };
}
