/**
 * Whether frames are read from a WebSocket. Who shuts it has a reason, and it is open again when no
 * reason is left: what the client sends meanwhile waits with the client.
 */
export type ReadingGate = {
  shut(reason: Reason): void;
  open(reason: Reason): void;
  /** Told when no reason is left, before anything more is read; a listener may shut it again. */
  onOpen(listener: () => void): void;
  readonly isShut: boolean;
};

/** Too much waits to be sent; too many frames wait for Redis; more frames came than may. */
export type Reason = 'full' | 'busy' | 'rate';

const bits: Record<Reason, number> = { full: 1, busy: 2, rate: 4 };

export function createReadingGate(socket: { pause(): void; resume(): void }): ReadingGate {
  const listeners: (() => void)[] = [];
  let shut = 0;
  return {
    shut(reason) {
      if (shut === 0) socket.pause();
      shut |= bits[reason];
    },
    open(reason) {
      if (shut === 0) return;
      shut &= ~bits[reason];
      if (shut !== 0) return;
      for (const listener of listeners) listener();
      if (shut === 0) socket.resume();
    },
    onOpen(listener) {
      listeners.push(listener);
    },
    get isShut() {
      return shut !== 0;
    },
  };
}
