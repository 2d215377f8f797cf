import { lookup } from 'node:dns';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { callUpstream } from '../../apps/worker/src/upstream/call.ts';
import { createPool } from '../../apps/worker/src/upstream/pool/pool.ts';
import type { ConnectEvent, Pool } from '../../apps/worker/src/upstream/pool/pool.ts';
import { createTlsClient } from '../../apps/worker/src/upstream/pool/tls.ts';
import { aborted, spawnScript } from '../../test/kit/child.ts';
import { makeServer } from '../../test/kit/certificates.ts';

export interface TlsServer {
  port: number;
  context: SecureContext;
  stop(): Promise<void>;
}

const START_MS = 10_000;

export async function startTlsServer(signal: AbortSignal): Promise<TlsServer> {
  const { authority, server } = makeServer();
  const child = spawnScript(fileURLToPath(new URL('server.ts', import.meta.url)));
  const stop = async (): Promise<void> => {
    await child.stop('SIGKILL');
  };
  try {
    const ready = aborted(
      child.message<{ port: number }>(),
      AbortSignal.any([signal, AbortSignal.timeout(START_MS)]),
    );
    child.send({ cert: server.cert, key: server.key });
    const { port } = await ready;
    return { port, context: createSecureContext({ ca: authority.cert }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A pool as in the worker, with its defaults except for these options; it has no earlier TLS session. */
export function startPool(
  { port, context }: TlsServer,
  { connections, warm = 0, http2 = false }: { connections: number; warm?: number; http2?: boolean },
): { pool: Pool; events: ConnectEvent[] } {
  const events: ConnectEvent[] = [];
  const host = '127.0.0.1';
  const connectTimeoutMs = 5_000;
  const tls = createTlsClient(host, { context, pins: [], http2 });
  const pool = createPool({
    origin: `https://${host}:${port}`,
    endpoint: { host, port, lookup, tls, connectTimeoutMs },
    config: {
      connections,
      warm,
      waitMs: 5_000,
      connectTimeoutMs,
      idleTimeoutMs: 55_000,
      lifetimeMs: 600_000,
      keepWarm: 'off',
      http2,
    },
    onConnect: (event) => events.push(event),
  });
  return { pool, events };
}

const BODY = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }] });

/** Milliseconds to the head of the response, if the response ends well; otherwise rejects. */
export function timeToHead(
  pool: Pool,
  more: Record<string, string> = {},
  path = '/v1/chat/completions',
): Promise<number> {
  return new Promise((resolve, reject) => {
    const since = performance.now();
    let headMs = 0;
    callUpstream(
      pool,
      {
        path,
        headers: { 'content-type': 'application/json', ...more },
        body: BODY,
      },
      {
        onHead: () => (headMs = performance.now() - since),
        onData() {},
        onEnd: () => resolve(headMs),
        onFault: ({ code, message }) => reject(new Error(`${code}: ${message}`)),
      },
    );
  });
}
