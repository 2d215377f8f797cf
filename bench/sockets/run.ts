import { setTimeout as sleep } from 'node:timers/promises';
import { expectedTokens } from '../../apps/simulator/src/index.ts';
import { residentOf } from '../../test/kit/proc.ts';
import { startUpstream } from '../rig.ts';
import { startMillraceWith } from '../systems/millrace.ts';
import { openCrowd, streamOn } from './crowd.ts';
import type { StreamsResult } from './crowd.ts';

export interface SocketsResult {
  sockets: number;
  /** Bytes of the ingress without and with the sockets, and after the streams. */
  memory: { before: number; idle: number; after: number };
  openMs: number;
  streams: StreamsResult & { count: number };
  wrong: string[];
}

const TOKENS = 50;
const PACE_MS = 200;
/** Milliseconds until the temporary memory of the handshakes is freed. */
const SETTLE_MS = 5_000;

const configFor = (upstream: string): string => `listen: { host: 127.0.0.1 }
providers:
  bench: { api: openai, baseUrl: "${upstream}/v1", apiKey: bench, pool: { connections: 4096 } }
models:
  steady: { targets: [{ provider: bench, model: "healthy:tokens=${TOKENS},pace=${PACE_MS}" }] }
limits: { workerConcurrency: 4096 }
`;

/** One round whatever `--rounds` says, because it is about memory and loss. Rejects if a process does not start. */
export async function runSockets(
  { quick }: { quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<SocketsResult> {
  const [count, streaming] = quick ? [500, 100] : [12_000, 2_000];
  const upstream = await startUpstream(signal);
  try {
    const system = await startMillraceWith(configFor(upstream.origin), signal);
    try {
      const memory = () => residentOf(system.pid ?? 0, 'ingress');
      // A warm-up, not counted: for the JIT and the first pages.
      const first = await openCrowd(system.origin, 500, signal);
      await first.close();
      await sleep(SETTLE_MS, undefined, { signal });
      const before = await memory();
      onProgress(`sockets: opening ${count}`);
      const startedAt = performance.now();
      const crowd = await openCrowd(system.origin, count, signal);
      const openMs = performance.now() - startedAt;
      await sleep(SETTLE_MS, undefined, { signal });
      const idle = await memory();
      onProgress(`sockets: ${streaming} streams`);
      const streams = await streamOn(crowd.sockets.slice(0, streaming), {
        model: 'steady',
        tokens: expectedTokens({ tokens: TOKENS }),
        rampMs: 5_000,
        patienceMs: 60_000,
      });
      const after = await memory();
      const lost = crowd.sockets.filter(({ readyState, OPEN }) => readyState !== OPEN).length;
      await crowd.close();
      const wrong = [...streams.wrong, ...(lost > 0 ? [`${lost} sockets were closed`] : [])];
      const { length } = streams.wrong;
      return {
        sockets: count,
        memory: { before, idle, after },
        openMs,
        streams: { ...streams, wrong: streams.wrong.slice(0, 5), count: streams.whole + length },
        wrong: wrong.slice(0, 5),
      };
    } finally {
      await system.stop();
    }
  } finally {
    await upstream.stop();
  }
}
