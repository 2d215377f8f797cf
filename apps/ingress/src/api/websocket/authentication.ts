import type { WebSocket } from '@fastify/websocket';
import type { Principal } from '../../auth/api-keys.ts';
import { apiError, toApiError } from '../../api-error.ts';
import type { ApiError } from '../../api-error.ts';
import { makeRequestId } from '../../server/request-id.ts';
import type { CloseReason, SocketCloser } from './close-codes.ts';
import { errorFrame, parseFrame } from './frames.ts';

/** The answer to a valid key. */
export const authenticated = '{"type":"authenticated"}';

export type AwaitKeyOptions = {
  socket: WebSocket;
  closer: Pick<SocketCloser, 'closeUnread'>;
  /** Milliseconds until the key must have arrived. */
  timeoutMs: number;
  /** Throws an ApiError for an invalid key. */
  verifyKey(key: string): Principal;
  /** Counts the error with which the socket is refused. */
  onRefused(error: ApiError): void;
  onAuthenticated(principal: Principal): void;
};

/**
 * Waits for `{"type":"auth","key":"…"}`, the first message of a socket whose handshake had no key. Any
 * other first message, or none in time, closes the socket, and so does `refuse`.
 */
export function awaitKey(options: AwaitKeyOptions): { refuse(thrown: unknown): void } {
  const { socket, closer, timeoutMs, verifyKey, onRefused, onAuthenticated } = options;
  const timer = setTimeout(
    () => refuse(apiError('invalid_api_key', { problem: 'late', countAs: 'no_key' })),
    timeoutMs,
  );

  function leave(): void {
    clearTimeout(timer);
    socket.off('message', onMessage);
    socket.off('close', leave);
  }

  function refuse(thrown: unknown): void {
    leave();
    const answer = toApiError(thrown);
    const { error, headers } = answer;
    onRefused(answer);
    socket.send(errorFrame(undefined, error, makeRequestId(), headers));
    const reason: CloseReason = error.code === 'server_shutting_down' ? 'drained' : 'no_key';
    closer.closeUnread(reason);
  }

  function onMessage(data: Buffer, isBinary: boolean): void {
    let principal: Principal;
    try {
      principal = verifyKey(isBinary ? '' : readKey(data.toString('utf8')));
    } catch (thrown) {
      refuse(thrown);
      return;
    }
    leave();
    socket.send(authenticated);
    onAuthenticated(principal);
  }

  socket.on('message', onMessage);
  socket.on('close', leave);
  return { refuse };
}

/** Empty if the frame has no key. Throws an ApiError if the text is no frame. */
function readKey(text: string): string {
  const { type, key } = parseFrame(text);
  return type === 'auth' && typeof key === 'string' ? key : '';
}
