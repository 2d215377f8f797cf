import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Refusal } from '../refusals.ts';
import { invalidRequest } from './errors.ts';
import type { ApiError } from './errors.ts';

/** Milliseconds that a client has to read its refusal, while what it still sends is passed over. */
const lingerMs = 1000;

/** Connections that were refused: what comes on them is refused again, and nobody need know. */
const refusedOnes = new WeakSet<Socket>();

/**
 * Answers what Node could not read as a request, before any route or hook, counts it, and ends the
 * connection.
 */
export const malformedHandler =
  (refused: (refusal: Refusal) => void) =>
  (thrown: Error & { code?: string }, socket: Socket): void => {
    if (thrown.code === 'ECONNRESET' || socket.destroyed || refusedOnes.has(socket)) return;
    refusedOnes.add(socket);
    const refusal = toRefusal(thrown.code);
    refused({ reason: refusal.error.code ?? '', address: socket.remoteAddress });
    if (!socket.writable || isAnswering(socket)) socket.destroy(thrown);
    else endSoftly(socket, toResponse(refusal));
  };

/**
 * A connection that is closed with unread bytes on it is reset, and a reset takes back what was
 * written last: so it is read, and thrown away, until the client has closed it, too.
 */
function endSoftly(socket: Socket, lastWords: string): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
  // Not for the parser any more, which would find the same fault in every piece.
  socket.removeAllListeners('data');
  socket.on('data', () => {});
  socket.end(lastWords);
}

/** A response is under way on this connection: another one in the midst of it would garble it. */
const isAnswering = (socket: Socket & { _httpMessage?: { headersSent: boolean } | null }) =>
  socket._httpMessage?.headersSent === true;

function toRefusal(code: string | undefined): ApiError {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return invalidRequest('The request did not arrive in time.', {
        status: 408,
        code: 'request_timeout',
      });
    case 'HPE_HEADER_OVERFLOW':
      return invalidRequest('The request head is larger than this server takes.', {
        status: 431,
        code: 'request_head_too_large',
      });
    default:
      return invalidRequest('This is not an HTTP request.', { code: 'invalid_http' });
  }
}

function toResponse({ status, error }: ApiError): string {
  const body = JSON.stringify({ error });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
