import { StoreSilent } from '../outage.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import { leaseMs, renewalMs } from './port.ts';
import type { Leases } from './port.ts';

/** The leases that this process keeps alive. */
export type LeaseKeeper = {
  /**
   * Takes one and keeps it. `own`: its holder is in this process, which therefore takes it again if
   * it was lost; any other is kept until a process releases it. Never waits long for the store: while
   * that is away, only the leases of this process count.
   */
  take(name: string, id: string, limit: number, own: boolean): Promise<'yes' | 'no'>;
  /** Another process took it; from now on its holder is here. */
  hold(name: string, id: string): void;
  /** Its holder is not here any more, and may be elsewhere. */
  letGo(id: string): void;
  /** This process does not keep it any longer; another one may. */
  forget(id: string): void;
  /** It is over, whichever process kept it. */
  release(name: string, id: string): void;
  /** Renews all that are due; never rejects. Called by a timer. */
  renew(): Promise<void>;
  readonly size: number;
  close(): void;
};

export type LeaseKeeperOptions = {
  leases: Leases;
  /** Whether the store can be asked. */
  isReady(): boolean;
  /** Whether what holds a lease is over; asked now and then where the holder is not here. */
  isOver?(id: string): Promise<boolean>;
  onError(error: unknown): void;
  intervalMs?: number;
  patienceMs?: number;
  now?: () => number;
};

/** Milliseconds that an answer of the store is waited for. */
const defaultPatienceMs = 250;
/** Milliseconds between two looks at whether a holder elsewhere is over: mostly it says so itself. */
const lookEveryMs = 30_000;
/** Looks of one round at most. */
const roundSize = 100;

/** `told`: the store knew of it once. If it does not any more, a process has released the lease. */
type Kept = { name: string; own: boolean; told: boolean; lookedAt: number };

export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const { leases, isReady, isOver, onError, now = Date.now } = options;
  const { intervalMs = renewalMs, patienceMs = defaultPatienceMs } = options;
  const kept = new Map<string, Kept>();
  let renewing = false;
  /** All that were kept at this moment lived then, or were given back. */
  let renewedAt = now();

  const keep = (name: string, id: string, own: boolean, told: boolean) =>
    kept.set(id, { name, own, told, lookedAt: now() });

  const countOf = (name: string): number =>
    kept.values().reduce((count, one) => count + (one.name === name ? 1 : 0), 0);

  /** Undefined when the store is away. */
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
    // Of a store that is away it comes to its end by itself.
    if (isReady()) leases.release(name, id).catch(onError);
  }

  async function renewAll(): Promise<void> {
    const at = now();
    // For longer than a lease lives, no process could renew it.
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

  /** The store does not know it: a process released it, or it was lost without a fault of its holder. */
  async function onLost(id: string, wasAway: boolean): Promise<void> {
    const one = kept.get(id);
    if (!one) return;
    if (!one.own && (await isOverElsewhere(id, one, wasAway))) {
      kept.delete(id);
      return;
    }
    await leases.take(one.name, id, Number.MAX_SAFE_INTEGER);
    // Ended while it was taken again.
    if (!kept.has(id)) await leases.release(one.name, id);
    else one.told = true;
  }

  async function isOverElsewhere(id: string, { told }: Kept, wasAway: boolean): Promise<boolean> {
    if (told && !wasAway) return true;
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
      // A store that was silent may still take it, without a holder.
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
    renew,
    get size() {
      return kept.size;
    },
    close: () => clearInterval(timer),
  };
}
