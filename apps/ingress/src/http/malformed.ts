import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Refusal } from '../refusals.ts';
import { lingerMs } from './arrival.ts';
import { invalidRequest } from './errors.ts';
import type { ApiError } from './errors.ts';
import { answerOn } from './pipelined.ts';
import { makeRequestId, requestIdHeader } from './request-id.ts';

/** Connections that were refused: what comes on them is refused again, and nobody need know. */
const refusedOnes = new WeakSet<Socket>();

/**
 * Answers what Node could not read as a request, before any route or hook, counts it, and ends the
 * connection. Of a connection that broke there is nobody to answer, and nothing to count.
 */
export const malformedHandler =
  (refused: (refusal: Refusal) => void) =>
  (thrown: Error & { code?: string }, socket: Socket): void => {
    const { code = '' } = thrown;
    if (code === 'ECONNRESET' || socket.destroyed || refusedOnes.has(socket)) return;
    const refusal = toRefusal(code);
    const reason = refusal?.error.code ?? (isTls(code) ? 'invalid_tls' : undefined);
    if (reason !== undefined) refused({ reason, address: socket.remoteAddress });
    refusedOnes.add(socket);
    if (refusal && socket.writable && !isAnswering(socket)) endSoftly(socket, toResponse(refusal));
    else socket.destroy(thrown);
  };

/** Answers `CONNECT`, for which Node has no answer of its own: this is no proxy of that kind. */
export const connectHandler =
  (refused: (refusal: Refusal) => void) =>
  (_request: IncomingMessage, socket: Socket): void => {
    const refusal = invalidRequest('CONNECT is not served here.', {
      status: 405,
      code: 'method_not_supported',
      headers: { allow: 'GET, HEAD, POST, DELETE, OPTIONS' },
    });
    refused({ reason: 'method_not_supported', address: socket.remoteAddress });
    socket.on('error', () => socket.destroy());
    if (answerOn(socket)) socket.destroy();
    else endSoftly(socket, toResponse(refusal));
  };

/** No handshake came about: there is nothing yet to answer on. */
const isTls = (code: string): boolean => /^ERR_(SSL|TLS)_/.test(code);

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
const isAnswering = (socket: Socket): boolean => answerOn(socket)?.headersSent === true;

/** Undefined for what is no fault of a request. */
function toRefusal(code: string): ApiError | undefined {
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
      return code.startsWith('HPE_')
        ? invalidRequest('This is not an HTTP request.', { code: 'invalid_http' })
        : undefined;
  }
}

function toResponse({ status, error, headers }: ApiError): string {
  const body = JSON.stringify({ error });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `${requestIdHeader}: ${makeRequestId()}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
