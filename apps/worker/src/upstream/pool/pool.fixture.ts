import { once } from 'node:events';
import { lookup } from 'node:dns';
import type { AddressInfo, LookupFunction, Server, Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { PoolConfig } from '@millrace/shared/config';
import { callUpstream } from '../call.ts';
import type { UpstreamCall } from '../call.ts';
import { createPool } from './pool.ts';
import type { ConnectEvent, Pool, PoolOptions } from './pool.ts';
import { createTlsClient } from './tls.ts';
import type { Proxy } from './tunnel.ts';

/** A server on a free port that knows its open sockets; closed with everything on it. */
export type Listening = {
  port: number;
  /** All that were ever accepted. */
  accepted: Socket[];
  open(): Socket[];
  [Symbol.asyncDispose](): Promise<void>;
};

export async function listen(server: Server, host = '127.0.0.1'): Promise<Listening> {
  const accepted: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    accepted,
    open: () => accepted.filter((socket) => !socket.destroyed),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of accepted) socket.destroy();
      await closed;
    },
  };
}

export const poolConfig: PoolConfig = {
  connections: 8,
  warm: 0,
  waitMs: 5000,
  connectTimeoutMs: 5000,
  idleTimeoutMs: 60_000,
  lifetimeMs: 600_000,
  keepWarm: 'off',
  http2: false,
};

export type TestPool = Pool & { events: ConnectEvent[]; [Symbol.dispose](): void };

export type TestPoolOptions = Partial<PoolConfig> & {
  port: number;
  host?: string;
  /** Trusted authority, PEM. Absent: no TLS. */
  ca?: string;
  pins?: string[];
  minVersion?: '1.2' | '1.3';
  client?: { cert: string; key: string };
  proxy?: Proxy;
  lookup?: LookupFunction;
  models?: PoolOptions['models'];
  gathering?: PoolOptions['gathering'];
  dnsIntervalMs?: number;
};

export function startPool(options: TestPoolOptions): TestPool {
  const { port, host = '127.0.0.1', ca, pins = [], minVersion = '1.2', client, proxy } = options;
  const config = { ...poolConfig, ...options };
  const events: ConnectEvent[] = [];
  const context = ca && createSecureContext({ ca, ...client, minVersion: `TLSv${minVersion}` });
  const pool = createPool({
    origin: `${ca ? 'https' : 'http'}://${host}:${port}`,
    endpoint: {
      host,
      port,
      lookup: options.lookup ?? lookup,
      proxy,
      tls: context ? createTlsClient(host, { context, pins, http2: config.http2 }) : undefined,
      connectTimeoutMs: config.connectTimeoutMs,
    },
    config,
    onConnect: (event) => events.push(event),
    random: () => 0,
    gathering: options.gathering,
    ...(options.models && { models: options.models }),
    ...(options.dnsIntervalMs && { dnsIntervalMs: options.dnsIntervalMs }),
  });
  return Object.assign(pool, { events, [Symbol.dispose]: () => pool.close() });
}

export type Asked = {
  call: UpstreamCall;
  head: Promise<number>;
  /** Of the body, as they were read. */
  pieces: readonly string[];
  outcome: Promise<string>;
};

/** One POST. `outcome`: status and body, or the code and detail of the fault. Neither ever rejects. */
export function ask(pool: Pick<Pool, 'dispatch'>, path = '/', body = 'hi'): Asked {
  let status = 0;
  const pieces: string[] = [];
  let onHead: (status: number) => void = () => {};
  let onOutcome: (outcome: string) => void = () => {};
  const head = new Promise<number>((resolve) => (onHead = resolve));
  const outcome = new Promise<string>((resolve) => (onOutcome = resolve));
  const call = callUpstream(
    pool,
    { path, headers: { 'content-type': 'text/plain' }, body },
    {
      onHead(given) {
        status = given;
        onHead(given);
      },
      onData: (bytes) => void pieces.push(bytes.toString()),
      onEnd: () => onOutcome(`${status} ${pieces.join('')}`),
      onFault: ({ code, detail = '' }) => onOutcome(`${code}: ${detail}`),
    },
  );
  return { call, head, pieces, outcome };
}

/** Waits until something is so: the pool has no events of its own for it. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}
