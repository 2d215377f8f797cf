import { EventEmitter } from 'node:events';
import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import { apiError } from '../../api-error.ts';
import type { ApiError } from '../../api-error.ts';
import { afterAnswers } from '../../server/pipelined.ts';

/* A request with an `Upgrade` becomes a WebSocket, or is served like any other request. */

/** The only version of the WebSocket protocol there is (RFC 6455). */
const socketVersion = '13';

/** Headers that only concern an upgrade. */
const ofUpgrade = new Set(['upgrade', 'http2-settings']);

/** The paths of the WebSockets (routes.ts). */
const socketPaths: ReadonlySet<string> = new Set(['/v1/ws', '/v1/responses']);

type Asked = Pick<IncomingMessage, 'method' | 'url' | 'headers'>;

/**
 * Whether a request opens a WebSocket. A server may ignore an upgrade that it does not offer, and clients
 * rely on that (RFC 9110, 7.8).
 */
export function wantsSocket({ method, url = '', headers }: Asked): boolean {
  const [path = ''] = url.split('?', 1);
  return (
    method === 'GET' &&
    socketPaths.has(path.replace(/\/+$/, '')) &&
    hasToken(headers.upgrade, 'websocket')
  );
}

/** The error of an invalid handshake; undefined if it is valid. */
export function whyNoSocket({
  httpVersion,
  headers,
}: Pick<IncomingMessage, 'httpVersion' | 'headers'>): ApiError | undefined {
  if (httpVersion !== '1.1') {
    return apiError('invalid_http', { message: 'A WebSocket needs HTTP/1.1.' });
  }
  if (headers['sec-websocket-version'] !== socketVersion) {
    return upgradeRequired(`A WebSocket needs version ${socketVersion} of the protocol.`);
  }
  // Sixteen bytes in base64.
  if (!/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')) {
    return apiError('invalid_http', { message: "Invalid 'Sec-WebSocket-Key'." });
  }
  return undefined;
}

/** `connection`: as the client sent it; the answer repeats its `close`. */
export function upgradeRequired(message: string, connection = ''): ApiError {
  const isLast = hasToken(connection, 'close');
  return apiError('upgrade_required', {
    message,
    headers: {
      upgrade: 'websocket',
      connection: isLast ? 'close, upgrade' : 'upgrade',
      'sec-websocket-version': socketVersion,
    },
  });
}

/**
 * Handles the upgrades of a server, each after the answers before it. Upgrades to a WebSocket are emitted by
 * the returned emitter, to which ws listens; any other request is returned to the server as if it had no
 * `Upgrade`.
 *
 * Node can ignore an upgrade itself (`shouldUpgradeCallback`), but loses the bytes after the request in the
 * same packet: its parser stops at an upgrade, and Node continues without the rest.
 *
 * Call it before adding other listeners for the server's connections.
 */
export function routeUpgrades(
  server: HttpServer,
  event: 'connection' | 'secureConnection',
): EventEmitter {
  const sockets = new EventEmitter();
  // Node's own listener, which reads requests; all other listeners have seen this connection already.
  const [readRequests] = server.listeners(event);
  // By default Node keeps only the first thousand headers. A later one may define the length of the body, and
  // without it that body would be read as further requests. `maxHeaderSize` is the bound.
  server.maxHeadersCount = 0;
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const destroy = () => void socket.destroy();
    // Node's own listeners are removed. As with those, a client that ends its side has left.
    socket.on('error', destroy).on('end', destroy);
    afterAnswers(socket, () => {
      socket.off('error', destroy).off('end', destroy);
      if (!socket.writable) {
        socket.destroy();
        return;
      }
      if (wantsSocket(request)) {
        // There is no listener any more once the server closes.
        if (!sockets.emit('upgrade', request, socket, head)) socket.destroy();
        return;
      }
      // The timeout is that of the previous answer: its listener is removed, and this request may take
      // longer.
      socket.setTimeout(0);
      socket.unshift(Buffer.concat([headWithout(request), head]));
      readRequests?.call(server, socket);
    });
  });
  return sockets;
}

/** The bytes of a request's head, without the headers of the upgrade. */
function headWithout({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    if (ofUpgrade.has(name.toLowerCase())) continue;
    lines.push(`${name}: ${name.toLowerCase() === 'connection' ? withoutUpgrade(value) : value}`);
  }
  // Node decodes headers as Latin-1.
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

const withoutUpgrade = (connection: string): string =>
  tokensOf(connection)
    .filter((token) => !ofUpgrade.has(token.toLowerCase()))
    .join(', ');

const hasToken = (value: string | undefined, wanted: string): boolean =>
  tokensOf(value ?? '').some((token) => token.toLowerCase() === wanted);

const tokensOf = (value: string): string[] => value.split(',').map((token) => token.trim());
