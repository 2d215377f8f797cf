import type { WebSocket } from '@fastify/websocket';

/** Watches over all WebSockets with one timer: pings, and the end of those that are dead or unused. */
export type SocketWheel = {
  watch(socket: WebSocket, options: WatchOptions): Watched;
  /** On all of them. */
  requestsOpen(): number;
  framesServed(): number;
  close(): void;
};

export type WatchOptions = {
  /** Nothing is read from it at the moment, so that its pongs do not arrive either. */
  isDeaf(): boolean;
  requestsOpen(): number;
  framesServed(): number;
  end(reason: 'dead' | 'idle'): void;
};

export type Watched = {
  /** Something came from the peer, or could come again: it lives, as far as we know. */
  lives(): void;
  /** It asked for something: it lives, and is not idle. */
  used(): void;
  /** Something began to wait for it, or it took a part of that; a ping may lie behind the rest. */
  moved(): void;
  stop(): void;
};

export type SocketWheelOptions = {
  /** Milliseconds, all of them. */
  pingMs: number;
  idleMs: number;
  /** A peer that takes what waits for it, if slowly, is not dead for so long without a pong. */
  stallMs: number;
};

type Spoke = WatchOptions & {
  socket: WebSocket;
  /** It answered, or said something, since the last ping. */
  alive: boolean;
  /** Milliseconds since the epoch: when it last took a part of what waited for it. */
  movedAt: number;
  /** Milliseconds since the epoch: it asked for something, or a request was open. */
  usedAt: number;
};

/** Parts of the interval in which a share of the sockets has its turn: no burst of pings for all. */
const slots = 25;

export function createSocketWheel(
  { pingMs, idleMs, stallMs }: SocketWheelOptions,
  now: () => number = Date.now,
): SocketWheel {
  const wheel = Array.from({ length: slots }, () => new Set<Spoke>());
  let turn = 0;
  let next = 0;

  function look(spoke: Spoke): void {
    const { socket } = spoke;
    if (socket.readyState !== socket.OPEN) return;
    if (spoke.requestsOpen() > 0) spoke.usedAt = now();
    // What it says is not heard now; that it takes nothing is watched where that is known.
    if (spoke.isDeaf()) {
      spoke.alive = true;
      return;
    }
    if (!spoke.alive) {
      // The ping may still lie behind what it takes so slowly.
      if (now() - spoke.movedAt >= stallMs) spoke.end('dead');
      return;
    }
    if (now() - spoke.usedAt >= idleMs) {
      spoke.end('idle');
      return;
    }
    spoke.alive = false;
    socket.ping();
  }

  const timer = setInterval(() => {
    turn = (turn + 1) % slots;
    for (const spoke of wheel[turn] ?? []) look(spoke);
  }, pingMs / slots);
  timer.unref();

  return {
    watch(socket, options) {
      const spoke: Spoke = { socket, ...options, alive: true, movedAt: -Infinity, usedAt: now() };
      next = (next + 1) % slots;
      const slot = wheel[next];
      slot?.add(spoke);
      const lives = () => {
        spoke.alive = true;
      };
      // Either says only that the peer is there: one that never asks anything is idle all the same.
      socket.on('ping', lives);
      socket.on('pong', lives);
      return {
        lives,
        used() {
          spoke.alive = true;
          spoke.usedAt = now();
        },
        moved() {
          spoke.movedAt = now();
        },
        stop: () => slot?.delete(spoke),
      };
    },
    requestsOpen: () => sum((spoke) => spoke.requestsOpen()),
    framesServed: () => sum((spoke) => spoke.framesServed()),
    close: () => clearInterval(timer),
  };

  function sum(of: (spoke: Spoke) => number): number {
    let total = 0;
    for (const slot of wheel) for (const spoke of slot) total += of(spoke);
    return total;
  }
}
