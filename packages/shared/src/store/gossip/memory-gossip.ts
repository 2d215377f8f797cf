import { maxStates } from './port.ts';
import type { SharedState, Gossip, GossipEvents, SetOutcome } from './port.ts';

/** Gossip within one process, for tests. */
export type MemoryGossip = {
  join(owner: string): Gossip;
  /** Cuts these owners off; without names, all owners. */
  disconnect(...owners: string[]): void;
  /** Ends the cut, and calls `onListening` of those that were cut off. */
  reconnect(): void;
};

export type MemoryGossipOptions = {
  /** The clock of the leases. Milliseconds. */
  now?: () => number;
};

type Listener = { owner: string; events: GossipEvents };

export function createMemoryGossip({ now = Date.now }: MemoryGossipOptions = {}): MemoryGossip {
  const states = new Map<string, SharedState>();
  const leases = new Map<string, { owner: string; until: number }>();
  const listeners = new Set<Listener>();
  let isDisconnected = (_owner: string): boolean => false;

  /** Calls listeners later, as a network would, and never within their own call. */
  const notify = (listener: Listener, act: (events: GossipEvents) => void) =>
    queueMicrotask(() => {
      if (listeners.has(listener) && !isDisconnected(listener.owner)) act(listener.events);
    });

  function change(
    field: string,
    seen: string | undefined,
    state: SharedState | undefined,
  ): SetOutcome {
    const current = states.get(field);
    if (!state && !current) return { kind: 'set', version: undefined };
    if (current?.version !== seen) return { kind: 'changed', state: current };
    if (state && !current && states.size >= maxStates) return { kind: 'full' };
    if (state) states.set(field, state);
    else states.delete(field);
    return { kind: 'set', version: state?.version };
  }

  function join(owner: string): Gossip {
    let published = 0;
    let dropped = 0;
    const away = { kind: 'away' } as const;
    return {
      owner,
      publish(text) {
        if (isDisconnected(owner)) {
          dropped += 1;
          return;
        }
        published += 1;
        for (const listener of listeners) notify(listener, (events) => events.onText(text));
      },
      subscribe(events) {
        const listener = { owner, events };
        listeners.add(listener);
        notify(listener, () => events.onListening());
        return { close: () => listeners.delete(listener) };
      },
      states: async () =>
        isDisconnected(owner) ? away : { kind: 'states', states: new Map(states) },
      setState: async (field, text, seen) =>
        isDisconnected(owner) ? away : change(field, seen, { text, version: crypto.randomUUID() }),
      clearState: async (field, seen) =>
        isDisconnected(owner) ? away : change(field, seen, undefined),
      async claim(name, ttlMs) {
        if (isDisconnected(owner)) return 'away';
        const lease = leases.get(name);
        if (lease && lease.owner !== owner && now() < lease.until) return 'taken';
        leases.set(name, { owner, until: now() + ttlMs });
        return 'claimed';
      },
      async release(name) {
        if (!isDisconnected(owner) && leases.get(name)?.owner === owner) leases.delete(name);
      },
      counters: () => ({ published, dropped }),
    };
  }

  return {
    join,
    disconnect(...owners) {
      isDisconnected = (owner) => owners.length === 0 || owners.includes(owner);
    },
    reconnect() {
      const wasDisconnected = isDisconnected;
      isDisconnected = () => false;
      for (const listener of listeners) {
        if (wasDisconnected(listener.owner)) notify(listener, (events) => events.onListening());
      }
    },
  };
}
