import { UpstreamError } from '../faults.ts';
import type { PooledRequest } from './request.ts';
import { countWait } from './stats.ts';
import type { PoolCounters } from './stats.ts';

/** Milliseconds after which a request whose wait is over checks again for its connection. */
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
  /** Number of requests, from the front, that connections being opened will take. */
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
    // A connection is being opened for it; that has a timeout of its own and fails with a clearer error.
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
    /** Removes and returns the request that has waited longest. */
    next(): PooledRequest | undefined {
      const [first] = waiting;
      if (first) remove(first);
      return first;
    },
  };
}
