/**
 * Whether frames are read from a WebSocket. Who shuts it has a reason, and it is open again when no
 * reason is left: what the client sends meanwhile waits with the client.
 */
export type ReadingGate = {
  shut(reason: Reason): void;
  open(reason: Reason): void;
  readonly isShut: boolean;
};

/** Too much waits to be sent; too many frames wait for Redis; more frames came than may. */
export type Reason = 'full' | 'busy' | 'rate';

const bits: Record<Reason, number> = { full: 1, busy: 2, rate: 4 };

export function createReadingGate(socket: { pause(): void; resume(): void }): ReadingGate {
  let shut = 0;
  return {
    shut(reason) {
      if (shut === 0) socket.pause();
      shut |= bits[reason];
    },
    open(reason) {
      if (shut === 0) return;
      shut &= ~bits[reason];
      if (shut === 0) socket.resume();
    },
    get isShut() {
      return shut !== 0;
    },
  };
}
