import type { Socket } from 'node:net';

/**
 * Limits how often the sockets of flowing streams are read: at most once in a coalescing window. Data that
 * arrives in between waits in the kernel and is then read, parsed, logged and delivered as one piece. Reads
 * are the largest part of a chunk's cost in a worker, and no later step can reduce their number.
 */
export type Gathering = {
  /**
   * Call it after bytes were read from the socket: the socket is not read again before the window ends. Has
   * no effect while the window is 0.
   */
  wasRead(socket: Socket): void;
  /** Resumes reading at once, whatever the window. Idempotent. */
  release(socket: Socket): void;
  readonly resting: number;
};

/**
 * Node's internal handle that reads for a socket (TCP, or the TLS wrap). It is not public: if it does not
 * have these members, the socket is never paused.
 */
type Handle = { reading: boolean; readStop(): number; readStart(): number };

/**
 * Milliseconds. Sockets whose windows end in the same beat are read together, and their lines are appended
 * with one call.
 */
const beatMs = 5;

type Resting = { socket: Socket; handle: Handle; until: number };

export function createGathering(window: { readonly ms: number }): Gathering {
  /** Sockets that were read in this turn of the event loop. */
  const read = new Set<Socket>();
  const resting = new Map<Socket, Resting>();
  let isStopping = false;
  let timer: NodeJS.Timeout | undefined;

  /**
   * Runs after the parser has consumed the data, because Node resumes reading a stream when its consumer asks
   * for more.
   */
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
    // The map is in the order in which reading stopped.
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
