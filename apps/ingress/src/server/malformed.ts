import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Refusal } from '../observe/refusals.ts';
import { lingerMs } from './limits.ts';
import { apiError } from '../api-error.ts';
import type { ApiError } from '../api-error.ts';
import { afterAnswers, answerOn } from './pipelined.ts';
import { makeRequestId, requestIdHeader } from './request-id.ts';
import { factsOf } from '../observe/request-log.ts';

/** Connections that were refused: what comes on them is refused again, and nobody need know. */
const refusedOnes = new WeakSet<Socket>();

/**
 * Counts a refusal, and logs it by the id that its answer has. `answer`: absent where the request is known
 * and has a line of its own.
 */
export type Refuse = (refusal: Refusal, answer?: { id: string; status: number }) => void;

/**
 * Answers what Node could not read as a request, before any route or hook, and ends the connection.
 * A connection that broke gets no answer, and is not counted.
 */
export const malformedHandler =
  (refuse: Refuse) =>
  (thrown: Error & { code?: string }, socket: Socket): void => {
    const { code = '' } = thrown;
    if (code === 'ECONNRESET' || socket.destroyed || refusedOnes.has(socket)) return;
    const refusal = toRefusal(code);
    if (!refusal) {
      refusedOnes.add(socket);
      const answer = { id: makeRequestId(), status: 0 };
      if (isTls(code)) refuse({ reason: 'invalid_tls', address: socket.remoteAddress }, answer);
      socket.destroy(thrown);
      return;
    }
    endWith(socket, refusal, refuse);
  };

/** Answers `CONNECT`, for which Node has no answer of its own: this is no proxy of that kind. */
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

/** The last answer on a connection, in its turn. */
function endWith(socket: Socket, refusal: ApiError, refuse: Refuse): void {
  refusedOnes.add(socket);
  const { status, error } = refusal;
  const noted = { reason: error.code ?? `status_${status}`, address: socket.remoteAddress };
  // Not for the parser any more, which would find the same fault in every piece.
  socket.removeAllListeners('data');
  socket.on('data', () => {});
  const answer = answerOn(socket);
  // The fault is in the request that is answered now: in its body, or its body did not come.
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

/** No handshake came about: there is nothing yet to answer on. */
const isTls = (code: string): boolean => /^ERR_(SSL|TLS)_/.test(code);

/**
 * A connection that is closed with unread bytes on it is reset, and a reset takes back what was
 * written last: so it is read, and thrown away, until the client has closed it, too.
 */
function endSoftly(socket: Socket, lastWords: string): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
  socket.end(lastWords);
}

/** Undefined for what is no fault of a request. */
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
  const body = JSON.stringify({ error });
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
