import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { invalidRequest } from './errors.ts';
import type { ApiError } from './errors.ts';

/** Answers what Node could not read as a request, before any route or hook, and ends the connection. */
export function refuseMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (socket.writable && !isAnswering(socket)) socket.write(toResponse(toRefusal(error.code)));
  socket.destroy(error);
}

/** A response is under way on this connection: another one in the midst of it would garble it. */
const isAnswering = (socket: Socket & { _httpMessage?: { headersSent: boolean } | null }) =>
  socket._httpMessage?.headersSent === true;

function toRefusal(code: string | undefined): ApiError {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return invalidRequest('The request did not arrive in time.', { status: 408 });
    case 'HPE_HEADER_OVERFLOW':
      return invalidRequest('The request head is larger than this server takes.', {
        status: 431,
        code: 'request_head_too_large',
      });
    default:
      return invalidRequest('This is not an HTTP request.');
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
