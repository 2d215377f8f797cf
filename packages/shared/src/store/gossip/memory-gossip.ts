import { maxFacts } from './port.ts';
import type { Fact, Fleet, FleetEvents, SetOutcome } from './port.ts';

/** A fleet within one process, for tests. */
export type MemoryFleet = {
  join(owner: string): Fleet;
  /** What is shared cannot be reached by these owners any more; without names by nobody. */
  cut(...owners: string[]): void;
  /** It can be reached again, and whoever listens is told so. */
  mend(): void;
};

export type MemoryFleetOptions = {
  /** Milliseconds: what leases run out by. */
  now?: () => number;
};

type Listener = { owner: string; events: FleetEvents };

export function createMemoryFleet({ now = Date.now }: MemoryFleetOptions = {}): MemoryFleet {
  const facts = new Map<string, Fact>();
  const leases = new Map<string, { owner: string; until: number }>();
  const listeners = new Set<Listener>();
  let isCut = (_owner: string): boolean => false;

  /** Later, as on a network, so that nobody is called in the middle of its own work. */
  const tell = (listener: Listener, act: (events: FleetEvents) => void) =>
    queueMicrotask(() => {
      if (listeners.has(listener) && !isCut(listener.owner)) act(listener.events);
    });

  function change(field: string, seen: string | undefined, fact: Fact | undefined): SetOutcome {
    const current = facts.get(field);
    if (!fact && !current) return { kind: 'set', version: undefined };
    if (current?.version !== seen) return { kind: 'changed', fact: current };
    if (fact && !current && facts.size >= maxFacts) return { kind: 'full' };
    if (fact) facts.set(field, fact);
    else facts.delete(field);
    return { kind: 'set', version: fact?.version };
  }

  function join(owner: string): Fleet {
    let published = 0;
    let dropped = 0;
    const away = { kind: 'away' } as const;
    return {
      owner,
      publish(text) {
        if (isCut(owner)) {
          dropped += 1;
          return;
        }
        published += 1;
        for (const listener of listeners) tell(listener, (events) => events.onText(text));
      },
      subscribe(events) {
        const listener = { owner, events };
        listeners.add(listener);
        tell(listener, () => events.onListening());
        return { close: () => listeners.delete(listener) };
      },
      facts: async () => (isCut(owner) ? away : { kind: 'facts', facts: new Map(facts) }),
      setFact: async (field, text, seen) =>
        isCut(owner) ? away : change(field, seen, { text, version: crypto.randomUUID() }),
      clearFact: async (field, seen) => (isCut(owner) ? away : change(field, seen, undefined)),
      async claim(name, ttlMs) {
        if (isCut(owner)) return 'away';
        const lease = leases.get(name);
        if (lease && lease.owner !== owner && now() < lease.until) return 'taken';
        leases.set(name, { owner, until: now() + ttlMs });
        return 'claimed';
      },
      async release(name) {
        if (!isCut(owner) && leases.get(name)?.owner === owner) leases.delete(name);
      },
      counters: () => ({ published, dropped }),
    };
  }

  return {
    join,
    cut(...owners) {
      isCut = (owner) => owners.length === 0 || owners.includes(owner);
    },
    mend() {
      const wasCut = isCut;
      isCut = () => false;
      for (const listener of listeners) {
        if (wasCut(listener.owner)) tell(listener, (events) => events.onListening());
      }
    },
  };
}
