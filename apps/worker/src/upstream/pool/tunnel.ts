import type { Socket } from 'node:net';
import { UpstreamError } from '../faults.ts';
import { onceEvent } from './socket-event.ts';

export type Proxy = {
  host: string;
  port: number;
  /** The whole header value, where the proxy's URL has a login. */
  authorization?: string;
};

/** Without the login. */
export const proxyName = ({ host, port }: Proxy): string => `The proxy ${host}:${port}`;

export function readProxy(href: string): Proxy {
  const url = new URL(href);
  const login = `${decode(url.username)}:${decode(url.password)}`;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 80),
    ...(login !== ':' && { authorization: `Basic ${Buffer.from(login).toString('base64')}` }),
  };
}

/** A per cent sign that begins no code stands for itself. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Bytes of the head of a proxy's answer. */
const maxHeadBytes = 16 * 1024;

/**
 * Asks a proxy that `socket` is connected to for a way to `target` (host:port), by HTTP's CONNECT.
 * Rejects when it does not give one; then the socket is of no more use.
 */
export async function openTunnel(
  socket: Socket,
  proxy: Proxy,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const login = proxy.authorization ? `Proxy-Authorization: ${proxy.authorization}\r\n` : '';
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${login}\r\n`);
  let head = Buffer.alloc(0);
  for (let end = -1; end < 0;) {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) {
      // The end of the stream is a `readable` with nothing to read.
      if (socket.readableEnded) throw cut(proxy);
      await onceEvent(socket, 'readable', signal);
      continue;
    }
    head = Buffer.concat([head, bytes]);
    end = head.indexOf('\r\n\r\n');
    if (end < 0 && head.length > maxHeadBytes) throw refused(proxy, 'its answer has no end');
    // What follows is the provider's.
    if (end >= 0 && head.length > end + 4) socket.unshift(head.subarray(end + 4));
  }
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(head.toString('latin1')) ?? [];
  if (status === undefined) throw refused(proxy, 'it does not speak HTTP');
  if (!status.startsWith('2')) {
    const why = status === '407' ? ': its login is missing or wrong' : '';
    throw refused(proxy, `status ${status}${why}`);
  }
}

const refused = (proxy: Proxy, why: string) =>
  new UpstreamError(
    'upstream_unreachable',
    `${proxyName(proxy)} gave no way to the provider (${why}).`,
  );

const cut = (proxy: Proxy) => refused(proxy, 'it closed the connection');
