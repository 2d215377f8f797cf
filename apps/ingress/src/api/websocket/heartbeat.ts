import type { WebSocket } from '@fastify/websocket';

/** Pings all WebSockets with one timer, and ends the dead and the idle ones. */
export type Heartbeat = {
  watch(socket: WebSocket, options: WatchOptions): SocketWatch;
  /** On all of them. */
  requestsOpen(): number;
  framesServed(): number;
  close(): void;
};

export type WatchOptions = {
  /** Nothing is read from the socket at the moment, so that its pongs do not arrive either. */
  isPaused(): boolean;
  requestsOpen(): number;
  framesServed(): number;
  end(reason: 'dead' | 'idle'): void;
};

export type SocketWatch = {
  /** Bytes came from the client, or the socket is read again. */
  markAlive(): void;
  /** The client asked for something: the socket is neither dead nor idle. */
  markUsed(): void;
  /** Bytes began to wait for the client, or it took some; a ping may be behind the rest. */
  markProgress(): void;
  stop(): void;
};

export type HeartbeatOptions = {
  /** Milliseconds, all of them. */
  pingMs: number;
  idleMs: number;
  /** A client that slowly takes what waits for it counts as alive for so long without a pong. */
  stallMs: number;
};

type WatchedSocket = WatchOptions & {
  socket: WebSocket;
  /** The client sent something since the last ping. */
  alive: boolean;
  /** Milliseconds since the epoch: when it last took bytes. */
  progressAt: number;
  /** Milliseconds since the epoch: when it last asked for something, or had a request open. */
  usedAt: number;
};

/** The interval has this many slots, each with a share of the sockets, so that pings come in no burst. */
const slots = 25;

export function createHeartbeat(
  { pingMs, idleMs, stallMs }: HeartbeatOptions,
  now: () => number = Date.now,
): Heartbeat {
  const wheel = Array.from({ length: slots }, () => new Set<WatchedSocket>());
  let turn = 0;
  let next = 0;

  function look(watched: WatchedSocket): void {
    const { socket } = watched;
    if (socket.readyState !== socket.OPEN) return;
    if (watched.requestsOpen() > 0) watched.usedAt = now();
    // Its pongs cannot arrive now. The writer detects a client that takes nothing.
    if (watched.isPaused()) {
      watched.alive = true;
      return;
    }
    if (!watched.alive) {
      // The ping may still be behind the bytes that the client takes slowly.
      if (now() - watched.progressAt >= stallMs) watched.end('dead');
      return;
    }
    if (now() - watched.usedAt >= idleMs) {
      watched.end('idle');
      return;
    }
    watched.alive = false;
    socket.ping();
  }

  const timer = setInterval(() => {
    turn = (turn + 1) % slots;
    for (const watched of wheel[turn] ?? []) look(watched);
  }, pingMs / slots);
  timer.unref();

  return {
    watch(socket, options) {
      const watched: WatchedSocket = {
        socket,
        ...options,
        alive: true,
        progressAt: -Infinity,
        usedAt: now(),
      };
      next = (next + 1) % slots;
      const slot = wheel[next];
      slot?.add(watched);
      const markAlive = () => {
        watched.alive = true;
      };
      // A ping or pong does not count as use: a client that asks for nothing is idle all the same.
      socket.on('ping', markAlive);
      socket.on('pong', markAlive);
      return {
        markAlive,
        markUsed() {
          watched.alive = true;
          watched.usedAt = now();
        },
        markProgress() {
          watched.progressAt = now();
        },
        stop: () => slot?.delete(watched),
      };
    },
    requestsOpen: () => sum((watched) => watched.requestsOpen()),
    framesServed: () => sum((watched) => watched.framesServed()),
    close: () => clearInterval(timer),
  };

  function sum(of: (watched: WatchedSocket) => number): number {
    let total = 0;
    for (const slot of wheel) for (const watched of slot) total += of(watched);
    return total;
  }
}
