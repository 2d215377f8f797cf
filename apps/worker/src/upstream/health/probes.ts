import type { Gossip } from '@millrace/shared/store/gossip/port';
import { probeLostMs } from './breaker.ts';

export type Probes = {
  /** True if this worker alone may probe the target now, at most once in `paceMs`. */
  claim(key: string, paceMs: number): Promise<boolean>;
  /** Ends the probe; the fleet's next one still keeps the interval. */
  end(key: string, paceMs: number): void;
  /** A probe of this worker is claimed or under way. */
  has(key: string): boolean;
  close(): void;
};

/** A lease is renewed three times in its life. */
const renewMs = probeLostMs / 3;

/**
 * One probe at a time in the fleet: a lease by target, renewed while the probe runs, so that it expires if
 * the worker dies. While Redis is unreachable, every worker acts as a fleet of its own.
 */
export function createProbes({ fleet, now }: { fleet: Gossip; now: () => number }): Probes {
  const held = new Map<string, { at: number; timer?: NodeJS.Timeout }>();
  const lastAt = new Map<string, number>();
  const lease = (key: string) => `probe/${key}`;

  return {
    async claim(key, paceMs) {
      const at = now();
      const sinceMs = at - (lastAt.get(key) ?? -Infinity);
      if (held.has(key) || (sinceMs >= 0 && sinceMs < paceMs)) return false;
      const probe: { at: number; timer?: NodeJS.Timeout } = { at };
      held.set(key, probe);
      const outcome = await fleet.claim(lease(key), probeLostMs);
      if (outcome === 'taken' || held.get(key) !== probe) {
        held.delete(key);
        return false;
      }
      probe.at = now();
      lastAt.set(key, probe.at);
      probe.timer = setInterval(() => void fleet.claim(lease(key), probeLostMs), renewMs);
      return true;
    },

    end(key, paceMs) {
      const probe = held.get(key);
      if (!probe) return;
      clearInterval(probe.timer);
      held.delete(key);
      const restMs = Math.min(probe.at + paceMs - now(), probeLostMs);
      void (restMs > 0 ? fleet.claim(lease(key), restMs) : fleet.release(lease(key)));
    },

    has: (key) => held.has(key),

    close() {
      for (const [key, { timer }] of held) {
        clearInterval(timer);
        void fleet.release(lease(key));
      }
      held.clear();
    },
  };
}
