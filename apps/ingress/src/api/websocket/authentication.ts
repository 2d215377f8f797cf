import type { WebSocket } from '@fastify/websocket';
import type { Principal } from '../../auth/api-keys.ts';
import { toApiError, unauthorized } from '../../errors.ts';
import type { Farewell, SocketEnd } from './close-codes.ts';
import { errorFrame, parseFrame } from './frames.ts';

/** Told to a page whose key is good. */
export const authenticated = '{"type":"authenticated"}';

export type AwaitKeyOptions = {
  socket: WebSocket;
  end: Pick<SocketEnd, 'hangUp'>;
  /** Milliseconds that the key may take. */
  patienceMs: number;
  /** Throws an ApiError for a key that opens nothing. */
  prove(key: string): Principal;
  /** Nothing that could be a key was shown. */
  onNoKey(): void;
  onProven(principal: Principal): void;
};

/**
 * Waits for `{"type":"auth","key":"…"}`, the first message of a socket that could not show its key
 * before. Whatever else comes first, or nothing in time, ends the socket. `refuse` ends it, too.
 */
export function awaitKey(options: AwaitKeyOptions): { refuse(thrown: unknown): void } {
  const { socket, end, patienceMs, prove, onNoKey, onProven } = options;
  const timer = setTimeout(() => {
    onNoKey();
    refuse(unauthorized('No key was shown in time.'));
  }, patienceMs);

  function leave(): void {
    clearTimeout(timer);
    socket.off('message', onMessage);
    socket.off('close', leave);
  }

  function refuse(thrown: unknown): void {
    leave();
    const { error, headers } = toApiError(thrown);
    socket.send(errorFrame(undefined, error, headers));
    const farewell: Farewell = error.code === 'server_shutting_down' ? 'drained' : 'no_key';
    end.hangUp(farewell);
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
  return {
    refuse(thrown) {
      onNoKey();
      refuse(thrown);
    },
  };
}

/** Empty where the frame shows none. Throws an ApiError on what is no frame. */
function readKey(text: string): string {
  const { type, key } = parseFrame(text);
  return type === 'auth' && typeof key === 'string' ? key : '';
}
