import { networkOf } from '../auth/networks.ts';

/**
 * Limits the connections of each address and each key, so that none of them uses up all. A connection counts
 * for every key that a request on it had, until it closes. The connection of a trusted proxy counts for the
 * address of each client while a request of that client is under way. An IPv6 address counts as its /64.
 */
export type ConnectionCounts<C extends object> = {
  /**
   * `address`: undefined for a trusted proxy, which names the client in each request. `unheard`: the address
   * exceeds its limit by so much that the connection must be closed without an answer.
   */
  opened(connection: C, address: string | undefined): 'counted' | 'unheard';
  closed(connection: C): void;
  /** Whether a request from an address may be served on this connection. `counted`: until `served` is called. */
  admitAddress(connection: C, address: string): 'admitted' | 'counted' | 'refused';
  served(connection: C, address: string): void;
  /** Whether a request with a key may be served on this connection. */
  admitKey(connection: C, key: string): 'admitted' | 'refused';
  all(): Iterable<C>;
  readonly size: number;
  /** The most connections of one address, and of one key. */
  readonly most: { address: number; key: number };
};

type Known = {
  /** Undefined for a proxy. */
  address: string | undefined;
  excess: boolean;
  /** The client addresses of requests under way through a proxy. */
  clients: string[];
  keys: Set<string> | undefined;
};

/** Connections above its limit for which an address still gets an answer. */
const maxExplained = 64;

export function createConnectionCounts<C extends object>(limits: {
  connectionsPerKey: number;
  connectionsPerAddress: number;
}): ConnectionCounts<C> {
  const known = new Map<C, Known>();
  const addresses = new Map<string, number>();
  const keys = new Map<string, number>();

  return {
    opened(connection, plain) {
      const address = plain === undefined ? undefined : networkOf(plain);
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
    admitAddress(connection, plain) {
      const one = known.get(connection);
      if (one?.excess) return 'refused';
      if (!one || one.address !== undefined) return 'admitted';
      const address = networkOf(plain);
      if ((addresses.get(address) ?? 0) >= limits.connectionsPerAddress) return 'refused';
      one.clients.push(address);
      add(addresses, address, 1);
      return 'counted';
    },
    served(connection, plain) {
      const address = networkOf(plain);
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
