import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Refusal } from '../observe/refusals.ts';
import { lingerMs } from './limits.ts';
import { apiError, withRequestId } from '../api-error.ts';
import type { ApiError } from '../api-error.ts';
import { afterAnswers, answerOn } from './pipelined.ts';
import { makeRequestId, requestIdHeader } from './request-id.ts';
import { factsOf } from '../observe/request-log.ts';

/** Connections that were refused already: further faults on them are not counted. */
const refusedSockets = new WeakSet<Socket>();

/**
 * Counts a refusal, and logs it under the id of its answer. `answer`: absent if the request is known and has a line of its
 * own in the log.
 */
export type Refuse = (refusal: Refusal, answer?: { id: string; status: number }) => void;

/**
 * Answers data that Node could not parse as a request, before any route or hook, and ends the connection. A
 * connection that broke gets no answer and is not counted.
 */
export const malformedHandler =
  (refuse: Refuse) =>
  (thrown: Error & { code?: string }, socket: Socket): void => {
    const { code = '' } = thrown;
    if (code === 'ECONNRESET' || socket.destroyed || refusedSockets.has(socket)) return;
    const refusal = toRefusal(code);
    if (!refusal) {
      refusedSockets.add(socket);
      const answer = { id: makeRequestId(), status: 0 };
      if (isTls(code)) refuse({ reason: 'invalid_tls', address: socket.remoteAddress }, answer);
      socket.destroy(thrown);
      return;
    }
    endWith(socket, refusal, refuse);
  };

/** Answers `CONNECT`, which Node leaves unanswered: this server is no forward proxy. */
export const connectHandler =
  (refuse: Refuse) =>
  (_request: IncomingMessage, socket: Socket): void => {
    socket.on('error', () => socket.destroy());
    const refusal = apiError('method_not_supported', {
      method: 'CONNECT',
      headers: { allow: 'GET, HEAD, POST, DELETE, OPTIONS' },
    });
    endWith(socket, refusal, refuse);
  };

/** Sends the last answer on a connection, after the earlier ones. */
function endWith(socket: Socket, refusal: ApiError, refuse: Refuse): void {
  refusedSockets.add(socket);
  const { status, error } = refusal;
  const noted = { reason: error.code ?? `status_${status}`, address: socket.remoteAddress };
  // Keeps further bytes from the parser, which would find the same fault in each of them.
  socket.removeAllListeners('data');
  socket.on('data', () => {});
  const answer = answerOn(socket);
  // The fault is in the request that is being answered: in its body, or its body did not arrive.
  if (answer && !answer.req.complete) {
    refuse(noted);
    if (socket.writable && !answer.headersSent) {
      Object.assign(factsOf(answer), { status, code: noted.reason });
      const ownId = String(answer.getHeader(requestIdHeader) ?? makeRequestId());
      endSoftly(socket, toResponse(refusal, ownId));
    } else socket.destroy();
    return;
  }
  const id = makeRequestId();
  refuse(noted, { id, status });
  afterAnswers(socket, () => {
    if (socket.writable) endSoftly(socket, toResponse(refusal, id));
    else socket.destroy();
  });
}

/** The TLS handshake failed: nothing can be answered on this connection. */
const isTls = (code: string): boolean => /^ERR_(SSL|TLS)_/.test(code);

/**
 * Closes a connection after a last answer. The system resets a connection that is closed with unread bytes,
 * and a reset discards that answer: so further data is read and dropped until the client closes, too.
 */
function endSoftly(socket: Socket, answer: string): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
  socket.end(answer);
}

/** Undefined for an error that is no fault of a request. */
function toRefusal(code: string): ApiError | undefined {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return apiError('request_timeout');
    case 'HPE_HEADER_OVERFLOW':
      return apiError('request_head_too_large');
    default:
      return code.startsWith('HPE_')
        ? apiError('invalid_http', { message: 'This is not an HTTP request.' })
        : undefined;
  }
}

function toResponse({ status, error, headers }: ApiError, id: string): string {
  const body = JSON.stringify({ error: withRequestId(error, id) });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `${requestIdHeader}: ${id}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
