import { Server as TcpServer } from 'node:net';
import type { Socket } from 'node:net';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Connections } from './connections.ts';

/** Milliseconds for the last bytes to readers. */
const lastBytesMs = 1000;

export type DrainOptions = {
  app: FastifyInstance;
  connections: Connections;
  /** Every connection, also one that Node's own list lacks: a WebSocket, or one whose next request waits. */
  sockets(): Iterable<Socket>;
  /** Milliseconds in which everything is served as before, while `/readyz` says that this ends. */
  delayMs: number;
  /** From here on new requests are refused. */
  onRefusing(): void;
  /** Milliseconds for what is under way to end by itself. */
  withinMs: number;
};

/**
 * Serves on until load balancers have seen `/readyz`, then takes no more connections, lets every answer
 * end, hands over what does not end in time, and closes what is left. What came before a connection is
 * closed is answered on it: served, or told that the server shuts down.
 */
export async function drainAnswers(options: DrainOptions): Promise<void> {
  const { app, connections, sockets, delayMs, onRefusing, withinMs } = options;
  if (delayMs > 0) await sleep(delayMs);
  // Connections that wait to be accepted would be reset.
  await everythingRead();
  // Not http's own close: it takes an answer whose last bytes are under way for an idle connection.
  TcpServer.prototype.close.call(app.server);
  // What came with the last connections is served: a load balancer cannot know of the stop before them.
  await everythingRead();
  onRefusing();
  connections.drain();
  await connections.settled(AbortSignal.timeout(withinMs));
  await connections.cutAll();
  const lastBytes = AbortSignal.timeout(lastBytesMs);
  await connections.settled(lastBytes);
  // A connection that was kept open may have brought one more.
  await everythingRead();
  await connections.settled(lastBytes);
  // What is left is readers that take nothing; `close` would wait for them.
  for (const socket of sockets()) socket.destroy();
}

/** Resolves when what had come to the sockets before has been read. */
async function everythingRead(): Promise<void> {
  await setImmediate();
  // The first one may end the turn in which it was asked for; between the two there is a whole one.
  await setImmediate();
}
