/**
 * How many connections there are from each address and with each key, so that none of them takes
 * them all. A connection counts for every key that a request on it had, until it closes.
 */
export type ConnectionCounts<C extends object> = {
  /** `unheard`: its address has so many too many that it is not even told: close it. */
  opened(connection: C, address: string): 'counted' | 'unheard';
  closed(connection: C): void;
  /** A request came on it: whether it may be served. */
  admit(connection: C, key: string | undefined): 'admitted' | 'address' | 'key';
  /** Connections of the address, and of the key, that have the most. */
  readonly most: { address: number; key: number };
};

type Known = { address: string; excess: boolean; keys: Set<string> | undefined };

/** Connections over its limit that an address may have, to be told so. */
const heardOut = 64;

export function createConnectionCounts<C extends object>(limits: {
  connectionsPerKey: number;
  connectionsPerAddress: number;
}): ConnectionCounts<C> {
  const known = new Map<C, Known>();
  const addresses = new Map<string, number>();
  const keys = new Map<string, number>();

  return {
    opened(connection, address) {
      const count = add(addresses, address, 1);
      const excess = count > limits.connectionsPerAddress;
      known.set(connection, { address, excess, keys: undefined });
      return count > limits.connectionsPerAddress + heardOut ? 'unheard' : 'counted';
    },
    closed(connection) {
      const one = known.get(connection);
      if (!one) return;
      known.delete(connection);
      add(addresses, one.address, -1);
      for (const key of one.keys ?? []) add(keys, key, -1);
    },
    admit(connection, key) {
      const one = known.get(connection);
      if (one?.excess) return 'address';
      if (!one || key === undefined || one.keys?.has(key)) return 'admitted';
      if ((keys.get(key) ?? 0) >= limits.connectionsPerKey) return 'key';
      (one.keys ??= new Set()).add(key);
      add(keys, key, 1);
      return 'admitted';
    },
    get most() {
      return { address: Math.max(0, ...addresses.values()), key: Math.max(0, ...keys.values()) };
    },
  };
}

function add(counts: Map<string, number>, name: string, change: number): number {
  const count = (counts.get(name) ?? 0) + change;
  if (count > 0) counts.set(name, count);
  else counts.delete(name);
  return count;
}
