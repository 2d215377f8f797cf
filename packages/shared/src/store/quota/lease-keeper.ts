import { StoreSilent } from '../outage.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import { leaseMs, renewalMs } from './port.ts';
import type { Leases } from './port.ts';

/** The leases that this process renews. */
export type LeaseKeeper = {
  /**
   * Takes a lease and renews it. `own`: its holder is in this process, which therefore takes the lease again
   * if it was lost; any other lease is renewed until a process releases it. Never waits long for the store:
   * during an outage only the leases of this process count.
   */
  take(name: string, id: string, limit: number, own: boolean): Promise<'yes' | 'no'>;
  /** Another process took the lease; from now on its holder is here. */
  hold(name: string, id: string): void;
  /** The holder has left this process, and may be in another one. */
  letGo(id: string): void;
  /** This process no longer renews the lease; another one may. */
  forget(id: string): void;
  /** Releases the lease, whichever process renewed it. */
  release(name: string, id: string): void;
  /** Whether this process renews a lease with this id. */
  keeps(id: string): boolean;
  /** Renews all leases that are due; never rejects. A timer calls it. */
  renew(): Promise<void>;
  readonly size: number;
  close(): void;
};

export type LeaseKeeperOptions = {
  leases: Leases;
  /** Whether the store is reachable. */
  isReady(): boolean;
  /** Whether a lease's holder has ended; checked periodically if the holder is not in this process. */
  isOver?(id: string): Promise<boolean>;
  onError(error: unknown): void;
  intervalMs?: number;
  patienceMs?: number;
  now?: () => number;
};

/** Milliseconds to wait for a reply of the store. */
const defaultPatienceMs = 250;
/** Milliseconds between two such checks; usually the other process releases the lease itself. */
const lookEveryMs = 30_000;
/** The most checks of one round. */
const roundSize = 100;

/** `wasStored`: the store has had the lease. If it does not have it any more, a process has released it. */
type Kept = { name: string; own: boolean; wasStored: boolean; lookedAt: number };

export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const { leases, isReady, isOver, onError, now = Date.now } = options;
  const { intervalMs = renewalMs, patienceMs = defaultPatienceMs } = options;
  const kept = new Map<string, Kept>();
  let renewing = false;
  /** At this time all leases were renewed or released. */
  let renewedAt = now();

  const keep = (name: string, id: string, own: boolean, wasStored: boolean) =>
    kept.set(id, { name, own, wasStored, lookedAt: now() });

  const countOf = (name: string): number =>
    kept.values().reduce((count, one) => count + (one.name === name ? 1 : 0), 0);

  /** Undefined if the store is unreachable. */
  async function ask<T>(question: () => Promise<T>): Promise<T | undefined> {
    if (!isReady()) return undefined;
    try {
      return await withTimeout(
        question(),
        patienceMs,
        () => new StoreSilent('leases: the store is silent'),
      );
    } catch (error) {
      onError(error);
      return undefined;
    }
  }

  function release(name: string, id: string): void {
    kept.delete(id);
    // During an outage the lease expires by itself.
    if (isReady()) leases.release(name, id).catch(onError);
  }

  async function renewAll(): Promise<void> {
    const at = now();
    // No process could renew leases for longer than they live.
    const wasAway = at - renewedAt > leaseMs;
    const byName = Map.groupBy(kept.keys(), (id) => kept.get(id)?.name ?? '');
    for (const [name, ids] of byName) {
      const lost = await leases.renew(name, ids);
      for (let i = 0; i < lost.length; i += roundSize) {
        await Promise.all(lost.slice(i, i + roundSize).map((id) => onLost(id, wasAway)));
      }
    }
    renewedAt = at;
  }

  /** The store does not have the lease: a process released it, or it was lost without a fault of its holder. */
  async function onLost(id: string, wasAway: boolean): Promise<void> {
    const one = kept.get(id);
    if (!one) return;
    if (!one.own && (await isOverElsewhere(id, one, wasAway))) {
      kept.delete(id);
      return;
    }
    await leases.take(one.name, id, Number.MAX_SAFE_INTEGER);
    // It was released while it was taken again.
    if (!kept.has(id)) await leases.release(one.name, id);
    else one.wasStored = true;
  }

  async function isOverElsewhere(
    id: string,
    { wasStored }: Kept,
    wasAway: boolean,
  ): Promise<boolean> {
    if (wasStored && !wasAway) return true;
    return isOver === undefined || isOver(id);
  }

  async function lookAround(): Promise<void> {
    if (!isOver) return;
    const due = [...kept].filter(
      ([, { own, lookedAt }]) => !own && lookedAt <= now() - lookEveryMs,
    );
    for (const [id, one] of due.slice(0, roundSize)) {
      one.lookedAt = now();
      if (await isOver(id)) release(one.name, id);
    }
  }

  async function renew(): Promise<void> {
    if (renewing || !isReady()) return;
    renewing = true;
    try {
      await renewAll();
      await lookAround();
    } catch (error) {
      onError(error);
    } finally {
      renewing = false;
    }
  }

  const timer = setInterval(() => void renew(), intervalMs);
  timer.unref();

  return {
    async take(name, id, limit, own) {
      let asked: ReturnType<Leases['take']> | undefined;
      const taken = await ask(() => (asked = leases.take(name, id, limit)));
      const kind = taken?.kind ?? (countOf(name) < limit ? 'yes' : 'no');
      if (kind === 'yes') keep(name, id, own, taken !== undefined);
      // The store may still execute the call that timed out, for a lease without a holder.
      else if (!taken) asked?.then(() => leases.release(name, id)).catch(() => {});
      return kind;
    },
    hold: (name, id) => void keep(name, id, true, true),
    letGo(id) {
      const one = kept.get(id);
      if (one) one.own = false;
    },
    forget: (id) => void kept.delete(id),
    release,
    keeps: (id) => kept.has(id),
    renew,
    get size() {
      return kept.size;
    },
    close: () => clearInterval(timer),
  };
}
