import type { AttentionStore, KeptCondition } from '@millrace/shared/store/attention/port';
import { pause } from '../pause.ts';
import { changesOf, keepChanges } from './alerts.ts';
import type { Alert } from './alerts.ts';
import { idOf } from './condition.ts';
import type { Condition } from './condition.ts';
import { conditionsOf } from './conditions.ts';
import type { FleetState } from './fleet-state.ts';

export type AttentionOptions = {
  read(how: { asksWorkers: boolean }): Promise<FleetState>;
  store: AttentionStore;
  /** Hands an alert over for delivery; the same alert may be handed over again, with the same `firstAt`. */
  announce(alert: Alert): Promise<void>;
  /** Whether Redis is reachable. */
  isReady(): boolean;
  onError(error: unknown): void;
  /** @defaultValue 5000 */
  lookEveryMs?: number;
};

export type SeenCondition = Condition & { readonly sinceAt: number };

export type Attention = {
  /** What needs attention now, worst first. Rejects if Redis does not answer. */
  list(): Promise<SeenCondition[]>;
  stop(): Promise<void>;
};

/** Looks at the fleet every few seconds, so that conditions have a beginning, and fire and resolve alerts. */
export function startAttention(options: AttentionOptions): Attention {
  const { read, store, announce, isReady, onError, lookEveryMs = 5000 } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  /** When this process saw a condition first that no other has kept yet. */
  let own = new Map<string, number>();
  let isFailing = false;

  async function look(): Promise<void> {
    if (!(await store.lead())) return;
    const state = await read({ asksWorkers: false });
    const changes = changesOf(await store.read(), conditionsOf(state), state.now);
    await keepChanges(store, changes, announce);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        if (isReady()) await look();
        isFailing = false;
      } catch (error) {
        // One line for an outage.
        if (!isFailing) onError(error);
        isFailing = true;
      }
      await pause(lookEveryMs, signal);
    }
  }

  function seen(
    conditions: readonly Condition[],
    kept: ReadonlyMap<string, KeptCondition>,
    now: number,
  ): SeenCondition[] {
    const times = new Map<string, number>();
    const all = conditions.map((condition) => {
      const id = idOf(condition);
      const firstAt = Math.min(kept.get(id)?.firstAt ?? now, own.get(id) ?? now);
      times.set(id, firstAt);
      return { ...condition, sinceAt: condition.sinceAt ?? firstAt };
    });
    own = times;
    return all;
  }

  const running = run();
  return {
    async list() {
      const [state, kept] = await Promise.all([read({ asksWorkers: true }), store.read()]);
      return seen(conditionsOf(state), kept, state.now);
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
