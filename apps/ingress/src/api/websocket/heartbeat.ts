import type { WebSocket } from '@fastify/websocket';

/** Pings all WebSockets with one timer, and ends the dead and the idle ones. */
export type Heartbeat = {
  watch(socket: WebSocket, options: WatchOptions): SocketWatch;
  /** Requests open on all sockets. */
  requestsOpen(): number;
  framesServed(): number;
  close(): void;
};

export type WatchOptions = {
  /** The socket is paused, so its pongs do not arrive. */
  isPaused(): boolean;
  requestsOpen(): number;
  framesServed(): number;
  end(reason: 'dead' | 'idle'): void;
};

export type SocketWatch = {
  /** Bytes arrived from the client, or reading was resumed. */
  markAlive(): void;
  /** The client sent a request: the socket is neither dead nor idle. */
  markUsed(): void;
  /** Bytes began to wait for the client, or the client read some; a ping may be behind the rest. */
  markProgress(): void;
  /** Bytes were sent. The kernel can take megabytes at once, for which a slow client needs longer than for a ping. */
  markWritten(bytes: number): void;
  stop(): void;
};

export type HeartbeatOptions = {
  /** Milliseconds, all of them. */
  pingMs: number;
  idleMs: number;
  /** A client that reads slowly counts as alive for this long without a pong. */
  stallMs: number;
};

type WatchedSocket = WatchOptions & {
  socket: WebSocket;
  /** The client sent something since the last ping. */
  alive: boolean;
  /** Milliseconds since the epoch: when it last took bytes, or got many. */
  progressAt: number;
  /** Bytes sent since the client last sent something. */
  unconfirmed: number;
  /** Milliseconds since the epoch: when it last sent a request, or had one open. */
  usedAt: number;
};

/**
 * The interval is divided into this many slots, each with a share of the sockets, so that pings are not sent
 * in bursts.
 */
const slots = 25;

/** A pong may be late for its ping behind more bytes than these. */
const manyBytes = 64 * 1024;

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
    // Its pongs cannot arrive now. The writer detects a client that does not read.
    if (watched.isPaused()) {
      watched.alive = true;
      return;
    }
    if (!watched.alive) {
      // The ping may still be behind data that the client reads slowly.
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
        unconfirmed: 0,
        usedAt: now(),
      };
      next = (next + 1) % slots;
      const slot = wheel[next];
      slot?.add(watched);
      const markAlive = () => {
        watched.alive = true;
        watched.unconfirmed = 0;
      };
      // A ping or pong does not count as use: a client without requests is idle.
      socket.on('ping', markAlive);
      socket.on('pong', markAlive);
      return {
        markAlive,
        markUsed() {
          markAlive();
          watched.usedAt = now();
        },
        markProgress() {
          watched.progressAt = now();
        },
        markWritten(bytes) {
          watched.unconfirmed += bytes;
          if (watched.unconfirmed > manyBytes) watched.progressAt = now();
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
