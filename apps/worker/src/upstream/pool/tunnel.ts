import type { Socket } from 'node:net';
import { UpstreamError } from '../faults.ts';
import { onceEvent } from './socket-event.ts';

export type Proxy = {
  host: string;
  port: number;
  /** The complete header value, if the proxy's URL has credentials. */
  authorization?: string;
};

/** The proxy's name, without credentials. */
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

/** A percent sign that begins no escape is kept as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The most bytes of the head of a proxy's answer. */
const maxHeadBytes = 16 * 1024;

/**
 * Asks the proxy at the other end of `socket` for a tunnel to `target` (host:port), by HTTP's CONNECT.
 * Rejects if the proxy refuses; the socket is unusable then.
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
      // At its end, the stream emits `readable` without data.
      if (socket.readableEnded) throw cut(proxy);
      await onceEvent(socket, 'readable', signal);
      continue;
    }
    head = Buffer.concat([head, bytes]);
    end = head.indexOf('\r\n\r\n');
    if (end < 0 && head.length > maxHeadBytes) throw refused(proxy, 'its answer has no end');
    // The rest was sent by the provider.
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
