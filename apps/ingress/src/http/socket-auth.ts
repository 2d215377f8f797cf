import type { WebSocket } from '@fastify/websocket';
import type { Principal } from '../admission/keys.ts';
import { toApiError, unauthorized } from './errors.ts';
import { errorFrame, parseFrame } from './socket-frames.ts';

/** Close code "policy violation". */
const policyViolation = 1008;

/** Told to a page whose key is good. */
export const authenticated = '{"type":"authenticated"}';

export type AwaitKeyOptions = {
  socket: WebSocket;
  /** Milliseconds that the key may take. */
  patienceMs: number;
  /** Throws an ApiError for a key that opens nothing. */
  prove(key: string): Principal;
  onTimeout(): void;
  onProven(principal: Principal): void;
};

/**
 * Waits for `{"type":"auth","key":"…"}`, the first message of a socket that could not show its key
 * before. Whatever else comes first, or nothing in time, ends the socket.
 */
export function awaitKey(options: AwaitKeyOptions): void {
  const { socket, patienceMs, prove, onTimeout, onProven } = options;
  const timer = setTimeout(() => {
    onTimeout();
    refuse(unauthorized('No key was shown in time.'));
  }, patienceMs);

  function leave(): void {
    clearTimeout(timer);
    socket.off('message', onMessage);
    socket.off('close', leave);
  }

  function refuse(thrown: unknown): void {
    leave();
    socket.send(errorFrame(undefined, toApiError(thrown).error));
    socket.close(policyViolation, 'no valid key was shown');
  }

  function onMessage(data: Buffer, isBinary: boolean): void {
    let principal: Principal;
    try {
      principal = prove(isBinary ? '' : readKey(data.toString('utf8')));
    } catch (thrown) {
      refuse(thrown);
      return;
    }
    leave();
    socket.send(authenticated);
    onProven(principal);
  }

  socket.on('message', onMessage);
  socket.on('close', leave);
  // A frame over the limit, bad UTF-8: ws closes the socket itself, with the right code.
  socket.on('error', () => {});
}

/** Empty where the frame shows none. Throws an ApiError on what is no frame. */
function readKey(text: string): string {
  const { type, key } = parseFrame(text);
  return type === 'auth' && typeof key === 'string' ? key : '';
}
