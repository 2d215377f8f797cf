/**
 * Stops reading from a WebSocket while there is at least one reason to. Data that its client sends meanwhile
 * stays in network buffers.
 */
export type Backpressure = {
  pause(reason: PauseReason): void;
  resume(reason: PauseReason): void;
  /** Listeners run when no reason is left, before the socket is read again; they may pause it again. */
  onResume(listener: () => void): void;
  readonly isPaused: boolean;
};

/** `full`: too much waits to be sent. `busy`: too many frames wait for Redis. `rate`: too many frames a second. */
export type PauseReason = 'full' | 'busy' | 'rate';

const bits: Record<PauseReason, number> = { full: 1, busy: 2, rate: 4 };

export function createBackpressure(socket: { pause(): void; resume(): void }): Backpressure {
  const listeners: (() => void)[] = [];
  let reasons = 0;
  return {
    pause(reason) {
      if (reasons === 0) socket.pause();
      reasons |= bits[reason];
    },
    resume(reason) {
      if (reasons === 0) return;
      reasons &= ~bits[reason];
      if (reasons !== 0) return;
      for (const listener of listeners) listener();
      if (reasons === 0) socket.resume();
    },
    onResume(listener) {
      listeners.push(listener);
    },
    get isPaused() {
      return reasons !== 0;
    },
  };
}
