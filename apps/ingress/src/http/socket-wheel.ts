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
};

export type Watched = {
  /** Something came from the peer: it lives, and is not idle. */
  touch(): void;
  stop(): void;
};

type Spoke = WatchOptions & {
  socket: WebSocket;
  /** It answered, or said something, since the last ping. */
  alive: boolean;
  /** Milliseconds since the epoch: a frame came, or a request was open. */
  usedAt: number;
};

/** Parts of the interval in which a share of the sockets has its turn: no burst of pings for all. */
const slots = 25;
/** Close code "going away". */
const goingAway = 1001;

export function createSocketWheel(
  { pingMs, idleMs }: { pingMs: number; idleMs: number },
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
      socket.terminate();
      return;
    }
    if (now() - spoke.usedAt >= idleMs) {
      socket.close(goingAway, 'nothing was asked on this socket for too long');
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
      const spoke: Spoke = { socket, ...options, alive: true, usedAt: now() };
      next = (next + 1) % slots;
      const slot = wheel[next];
      slot?.add(spoke);
      // A pong only says that the peer is there: one that never asks anything is idle all the same.
      socket.on('pong', () => {
        spoke.alive = true;
      });
      return {
        touch() {
          spoke.alive = true;
          spoke.usedAt = now();
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
