import { leaseMs, renewalMs } from './port.ts';
import type { Leases } from './port.ts';

/** The leases that this process renews. */
export type LeaseKeeper = {
  /**
   * Takes a lease and renews it. `own`: its holder is in this process, which therefore takes the lease again
   * if it was lost; any other lease is renewed until a process releases it. Rejects as the store does.
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
  now?: () => number;
};

/** Milliseconds between two such checks; usually the other process releases the lease itself. */
const lookEveryMs = 30_000;
/** The most checks of one round. */
const roundSize = 100;

type Kept = { name: string; own: boolean; lookedAt: number };

export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const { leases, isReady, isOver, onError, now = Date.now } = options;
  const { intervalMs = renewalMs } = options;
  const kept = new Map<string, Kept>();
  let renewing = false;
  /** At this time all leases were renewed or released. */
  let renewedAt = now();

  const keep = (name: string, id: string, own: boolean) =>
    kept.set(id, { name, own, lookedAt: now() });

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
    if (!one.own && (await isOverElsewhere(id, wasAway))) {
      kept.delete(id);
      return;
    }
    await leases.take(one.name, id, Number.MAX_SAFE_INTEGER);
    // It was released while it was taken again.
    if (!kept.has(id)) await leases.release(one.name, id);
  }

  async function isOverElsewhere(id: string, wasAway: boolean): Promise<boolean> {
    return !wasAway || isOver === undefined || isOver(id);
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
      const { kind } = await leases.take(name, id, limit);
      if (kind === 'yes') keep(name, id, own);
      return kind;
    },
    hold: (name, id) => void keep(name, id, true),
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
