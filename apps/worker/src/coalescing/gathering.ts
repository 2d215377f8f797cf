import type { Socket } from 'node:net';

/**
 * Reads the upstream sockets of streams that flow at most once in a window. What comes meanwhile waits in
 * the kernel and is then read, parsed, logged and shown as one piece: the reads are the largest part of
 * what a chunk costs a worker, and no later station can save them.
 */
export type Gathering = {
  /** Bytes were read from it: it rests for the window, if there is one. */
  wasRead(socket: Socket): void;
  /** It is read again at once, whatever its window. Idempotent. */
  release(socket: Socket): void;
  readonly resting: number;
};

/** Node's internal handle that reads for a socket (TCP, or the TLS wrap). Not public; if it is not as expected, no socket rests. */
type Handle = { reading: boolean; readStop(): number; readStart(): number };

/** Milliseconds: sockets whose windows end within the same are read together, and logged with one call. */
const beatMs = 5;

type Resting = { socket: Socket; handle: Handle; until: number };

export function createGathering(window: { readonly ms: number }): Gathering {
  /** Read in this turn of the event loop. */
  const read = new Set<Socket>();
  const resting = new Map<Socket, Resting>();
  let isStopping = false;
  let timer: NodeJS.Timeout | undefined;

  /** Runs after the parser has taken what was read: Node starts to read a stream again when its consumer asks for more. */
  function stopReading(): void {
    isStopping = false;
    const until = performance.now() + window.ms;
    for (const socket of read) {
      const handle = handleOf(socket);
      if (!handle || socket.destroyed || window.ms === 0) continue;
      handle.reading = false;
      handle.readStop();
      resting.set(socket, { socket, handle, until });
    }
    read.clear();
    if (resting.size > 0) timer ??= setTimeout(onBeat, beatMs);
  }

  function onBeat(): void {
    timer = undefined;
    const now = performance.now();
    // In the order in which they stopped.
    for (const one of resting.values()) {
      if (one.until > now) break;
      startReading(one);
    }
    if (resting.size > 0) timer = setTimeout(onBeat, beatMs);
  }

  function startReading({ socket, handle }: Resting): void {
    resting.delete(socket);
    if (socket.destroyed) return;
    handle.reading = true;
    handle.readStart();
  }

  return {
    wasRead(socket) {
      if (window.ms === 0 || resting.has(socket)) return;
      read.add(socket);
      if (isStopping) return;
      isStopping = true;
      setImmediate(stopReading);
    },
    release(socket) {
      read.delete(socket);
      const one = resting.get(socket);
      if (one) startReading(one);
    },
    get resting() {
      return resting.size;
    },
  };
}

function handleOf(socket: Socket): Handle | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: Partial<Handle> | null };
  const isKnown =
    typeof handle?.readStop === 'function' &&
    typeof handle.readStart === 'function' &&
    handle.reading === true;
  return isKnown ? (handle as Handle) : undefined;
}
