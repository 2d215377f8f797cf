import type { CloseReason, Connection } from './connection.ts';

/** The connections that can take a request, and the rules by which they are added and removed. */
export function createIdleList({ lifetimeMs, now }: { lifetimeMs: number; now: () => number }) {
  /** Least recently used first. */
  const free: Connection[] = [];

  function remove(one: Connection): void {
    if (!one.listed) return;
    one.listed = false;
    if (free.at(-1) === one) free.pop();
    else free.splice(free.indexOf(one), 1);
  }

  function put(one: Connection): void {
    if (one.listed || !one.isOpen || one.retired || one.active >= one.capacity) return;
    one.listed = true;
    free.push(one);
  }

  /** Retires a connection: it finishes its requests and closes. */
  function retire(one: Connection, reason: CloseReason): void {
    one.retired ??= reason;
    remove(one);
    if (one.active === 0) one.close(reason);
  }

  /** Files a connection after a request, or after its capacity has changed. */
  function sort(one: Connection): void {
    if (one.retired) retire(one, one.retired);
    else if (now() - one.openedAt >= lifetimeMs) retire(one, 'lifetime');
    else if (one.active >= one.capacity) remove(one);
    else put(one);
  }

  return {
    free: free as readonly Connection[],
    remove,
    retire,
    sort,
    /**
     * The connection for the next request: the most recently used one, so that the others become idle and
     * close.
     */
    top(): Connection | undefined {
      for (let one = free.at(-1); one; one = free.at(-1)) {
        if (one.isOpen && now() - one.openedAt < lifetimeMs) return one;
        if (one.isOpen) retire(one, 'lifetime');
        else remove(one);
      }
      return undefined;
    },
    occupy(one: Connection): void {
      one.active += 1;
      if (one.active >= one.capacity) remove(one);
    },
  };
}
