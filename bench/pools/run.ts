import { Samples } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';
import { startPool, startTlsServer, timeToHead } from './rig.ts';
import type { TlsServer } from './rig.ts';

export interface Throughput {
  requests: number;
  requestsPerSecond: number;
  reuseRate: number;
  handshakesPerSecond: number;
  /** Of the handshakes, those that went on with an earlier session. */
  resumed: number;
  headMs: Summary;
}

export interface PoolsRound {
  pooled: Throughput;
  /** A connection for every request. */
  single: Throughput;
  warm: Summary;
  cold: Summary;
  /** Connections that were opened in the path of a first request. */
  inPath: { warm: number; cold: number };
}

const CONCURRENCY = 64;

/** Rejects when a request fails: there is nothing here that could fail one. */
export async function runPools(
  { rounds, quick }: { rounds: number; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<PoolsRound[]> {
  const server = await startTlsServer(signal);
  const [pooled, single, firsts] = quick ? [10_000, 500, 30] : [20_000, 2_000, 300];
  try {
    // Both ways once, not counted: neither pays for the JIT.
    await throughput(server, pooled / 10, {});
    await throughput(server, single / 10, oneEach);
    const done: PoolsRound[] = [];
    for (let round = 1; round <= rounds; round++) {
      signal.throwIfAborted();
      onProgress(`pools, round ${round} of ${rounds}: throughput`);
      const loads = {
        pooled: await throughput(server, pooled, {}),
        single: await throughput(server, single, oneEach),
      };
      onProgress(`pools, round ${round} of ${rounds}: first requests`);
      done.push({ ...loads, ...(await firstRequests(server, firsts, signal)) });
    }
    return done;
  } finally {
    await server.stop();
  }
}

const oneEach = { connection: 'close' };

async function throughput(
  server: TlsServer,
  requests: number,
  headers: Record<string, string>,
): Promise<Throughput> {
  const { pool } = startPool(server, { connections: CONCURRENCY });
  const samples = new Samples();
  let left = requests;
  const since = performance.now();
  const user = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      samples.add(await timeToHead(pool, headers));
    }
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, user));
    const seconds = (performance.now() - since) / 1_000;
    const { reuseRate, handshakes } = pool.stats();
    return {
      requests,
      requestsPerSecond: requests / seconds,
      reuseRate,
      handshakesPerSecond: handshakes.tls / seconds,
      resumed: handshakes.resumed,
      headMs: samples.summary(),
    };
  } finally {
    pool.close();
  }
}

/** The first request to a backup, in turn to one whose connection stands and to one without. */
async function firstRequests(
  server: TlsServer,
  count: number,
  signal: AbortSignal,
): Promise<Pick<PoolsRound, 'warm' | 'cold' | 'inPath'>> {
  const times = { warm: new Samples(), cold: new Samples() };
  const inPath = { warm: 0, cold: 0 };
  for (let i = 0; i < count; i++) {
    for (const kind of ['warm', 'cold'] as const) {
      signal.throwIfAborted();
      const { pool, events } = startPool(server, { connections: 8, warm: 1 });
      if (kind === 'warm') {
        pool.warm();
        while (pool.stats().warm === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      times[kind].add(await timeToHead(pool));
      inPath[kind] += events.filter((event) => event.inPath).length;
      pool.close();
    }
  }
  return { warm: times.warm.summary(), cold: times.cold.summary(), inPath };
}
