import { Samples } from '../load/samples.ts';
import type { Summary } from '../load/samples.ts';
import { startPool, startTlsServer, timeToHead } from './rig.ts';
import type { TlsServer } from './rig.ts';

export interface Throughput {
  requests: number;
  requestsPerSecond: number;
  reuseRate: number;
  handshakesPerSecond: number;
  /** Handshakes that resumed an earlier session. */
  resumed: number;
  headMs: Summary;
}

/** Streams of 20 chunks, 64 at once. */
export interface Streams {
  requests: number;
  /** Microseconds of CPU of this process per stream, including reading and TLS. */
  cpuMicros: number;
  connections: number;
}

export interface PoolsRound {
  pooled: Throughput;
  /** A connection for every request. */
  single: Throughput;
  http1: Streams;
  http2: Streams;
  warm: Summary;
  cold: Summary;
  /** Connections that were opened in the path of a first request. */
  inPath: { warm: number; cold: number };
}

const CONCURRENCY = 64;

/** Rejects if a request fails: nothing here should make one fail. */
export async function runPools(
  { rounds, quick }: { rounds: number; quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<PoolsRound[]> {
  const server = await startTlsServer(signal);
  const [pooled, single, firsts, streamed] = quick
    ? [10_000, 500, 30, 300]
    : [20_000, 2_000, 300, 2_000];
  try {
    // Both variants once, not counted, so that neither pays for the JIT.
    await throughput(server, pooled / 10, {});
    await throughput(server, single / 10, oneEach);
    for (const http2 of [false, true]) await streams(server, streamed / 10, http2);
    const done: PoolsRound[] = [];
    for (let round = 1; round <= rounds; round++) {
      signal.throwIfAborted();
      onProgress(`pools, round ${round} of ${rounds}: throughput`);
      const loads = {
        pooled: await throughput(server, pooled, {}),
        single: await throughput(server, single, oneEach),
      };
      onProgress(`pools, round ${round} of ${rounds}: streams`);
      const http1 = await streams(server, streamed, false);
      const http2 = await streams(server, streamed, true);
      onProgress(`pools, round ${round} of ${rounds}: first requests`);
      done.push({ ...loads, http1, http2, ...(await firstRequests(server, firsts, signal)) });
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
  const since = performance.now();
  try {
    await repeat(requests, async () => samples.add(await timeToHead(pool, headers)));
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

async function streams(server: TlsServer, requests: number, http2: boolean): Promise<Streams> {
  const { pool, events } = startPool(server, { connections: CONCURRENCY, http2 });
  try {
    // The connection is open before the other requests, so that none uses HTTP/1.1 because the protocol is
    // not known yet.
    await timeToHead(pool, {}, streamPath);
    const before = process.cpuUsage();
    await repeat(requests, () => timeToHead(pool, {}, streamPath));
    const { user, system } = process.cpuUsage(before);
    return { requests, cpuMicros: (user + system) / requests, connections: events.length };
  } finally {
    pool.close();
  }
}

const streamPath = '/v1/stream';

/** Runs it `times` times, 64 concurrently. */
async function repeat(times: number, run: () => Promise<unknown>): Promise<void> {
  let left = times;
  const user = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await run();
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, user));
}

/** The first request to a backup, in turn with and without an open connection. */
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
