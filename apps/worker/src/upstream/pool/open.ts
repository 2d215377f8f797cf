import { connect } from 'node:net';
import type { LookupFunction, Socket } from 'node:net';
import { connectError, UpstreamError } from '../faults.ts';
import type { Connection } from './connection.ts';
import { onceEvent } from './socket-event.ts';
import type { TlsClient } from './tls.ts';
import { openTunnel, proxyName } from './tunnel.ts';
import type { Proxy } from './tunnel.ts';

/** The endpoint of connections and the settings on the way to it. */
export type Endpoint = {
  host: string;
  port: number;
  lookup: LookupFunction;
  proxy?: Proxy | undefined;
  tls?: TlsClient | undefined;
  connectTimeoutMs: number;
};

export type Opened = {
  socket: Socket;
  /** The peer's address of the TCP connection. */
  address(): string;
  protocol: 'h1' | 'h2';
  tls: boolean;
  /** TLS resumed an earlier session. */
  resumed: boolean;
};

/** Milliseconds of silence before TCP probes the peer. */
const tcpKeepAliveMs = 15_000;

/**
 * Opens a connection (name, TCP, proxy, TLS, and the protocol by `speak`) within one timeout. Rejects with an
 * UpstreamError, or with the reason of `attempt`, which aborts it; then nothing is left open.
 */
export async function openConnection(
  endpoint: Endpoint,
  attempt: AbortController,
  speak: (opened: Opened) => Connection | Promise<Connection>,
): Promise<{ opened: Opened; connection: Connection }> {
  const { host, port, lookup, proxy, tls, connectTimeoutMs } = endpoint;
  const { signal } = attempt;
  let peer = proxy ? proxyName(proxy) : 'The provider';
  let stage = 'the connection';
  const timer = setTimeout(() => {
    const message = `${peer} did not answer in time: ${stage} was not there after ${connectTimeoutMs} ms.`;
    attempt.abort(new UpstreamError('upstream_connect_timeout', message));
  }, connectTimeoutMs);
  const tcp = connect({
    host: proxy?.host ?? host,
    port: proxy?.port ?? port,
    lookup,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: tcpKeepAliveMs,
  });
  // Errors are handled where they matter; this listener keeps any other from ending the process.
  tcp.on('error', () => {});
  try {
    await onceEvent(tcp, 'connect', signal);
    const address = () => tcp.remoteAddress ?? '';
    if (proxy) {
      stage = 'the tunnel';
      await openTunnel(tcp, proxy, `${host.includes(':') ? `[${host}]` : host}:${port}`, signal);
      peer = `The provider (by way of the proxy ${proxy.host}:${proxy.port})`;
    }
    let opened: Opened = { socket: tcp, address, protocol: 'h1', tls: false, resumed: false };
    if (tls) {
      stage = 'TLS';
      const { socket, resumed } = await tls.secure(tcp, signal);
      const protocol = socket.alpnProtocol === 'h2' ? 'h2' : 'h1';
      opened = { socket, address, protocol, tls: true, resumed };
    }
    stage = 'HTTP/2';
    return { opened, connection: await speak(opened) };
  } catch (error) {
    tcp.destroy();
    throw connectError(error as Error, peer);
  } finally {
    clearTimeout(timer);
  }
}
