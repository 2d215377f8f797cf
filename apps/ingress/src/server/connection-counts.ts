import { networkOf } from '../auth/networks.ts';

/**
 * How many connections there are from each address and with each key, so that none of them takes
 * them all. A connection counts for every key that a request on it had, until it closes; that of a
 * proxy has many clients, and counts for each of them while a request of theirs is under way. Addresses
 * are counted by whom they stand for: of IPv6 a /64 is one.
 */
export type ConnectionCounts<C extends object> = {
  /**
   * `address`: undefined for a proxy whose word is believed, which tells with each request whose it is.
   * `unheard`: its address has so many too many that it is not even told: close it.
   */
  opened(connection: C, address: string | undefined): 'counted' | 'unheard';
  closed(connection: C): void;
  /**
   * A request from an address came on it: whether it may be served. `counted`: until `served` is told
   * that it was.
   */
  admitAddress(connection: C, address: string): 'admitted' | 'counted' | 'refused';
  served(connection: C, address: string): void;
  /** A request with a key came on it: whether it may be served. */
  admitKey(connection: C, key: string): 'admitted' | 'refused';
  all(): Iterable<C>;
  readonly size: number;
  /** Connections of the address, and of the key, that have the most. */
  readonly most: { address: number; key: number };
};

type Known = {
  /** Undefined for a proxy. */
  address: string | undefined;
  excess: boolean;
  /** Of the requests under way through a proxy. */
  clients: string[];
  keys: Set<string> | undefined;
};

/** Connections over its limit that an address may have, to be told so. */
const maxExplained = 64;

export function createConnectionCounts<C extends object>(limits: {
  connectionsPerKey: number;
  connectionsPerAddress: number;
}): ConnectionCounts<C> {
  const known = new Map<C, Known>();
  const addresses = new Map<string, number>();
  const keys = new Map<string, number>();

  return {
    opened(connection, told) {
      const address = told === undefined ? undefined : networkOf(told);
      const count = address === undefined ? 0 : add(addresses, address, 1);
      const excess = count > limits.connectionsPerAddress;
      known.set(connection, { address, excess, clients: [], keys: undefined });
      return count > limits.connectionsPerAddress + maxExplained ? 'unheard' : 'counted';
    },
    closed(connection) {
      const one = known.get(connection);
      if (!one) return;
      known.delete(connection);
      if (one.address !== undefined) add(addresses, one.address, -1);
      for (const client of one.clients) add(addresses, client, -1);
      for (const key of one.keys ?? []) add(keys, key, -1);
    },
    admitAddress(connection, told) {
      const one = known.get(connection);
      if (one?.excess) return 'refused';
      if (!one || one.address !== undefined) return 'admitted';
      const address = networkOf(told);
      if ((addresses.get(address) ?? 0) >= limits.connectionsPerAddress) return 'refused';
      one.clients.push(address);
      add(addresses, address, 1);
      return 'counted';
    },
    served(connection, told) {
      const address = networkOf(told);
      const clients = known.get(connection)?.clients ?? [];
      const index = clients.indexOf(address);
      if (index === -1) return;
      clients.splice(index, 1);
      add(addresses, address, -1);
    },
    admitKey(connection, key) {
      const one = known.get(connection);
      if (!one || one.keys?.has(key)) return 'admitted';
      if ((keys.get(key) ?? 0) >= limits.connectionsPerKey) return 'refused';
      (one.keys ??= new Set()).add(key);
      add(keys, key, 1);
      return 'admitted';
    },
    all: () => known.keys(),
    get size() {
      return known.size;
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
