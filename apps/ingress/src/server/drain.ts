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
  /**
   * Every connection, including those that Node's own list lacks: WebSockets, and connections whose next
   * request waits.
   */
  sockets(): Iterable<Socket>;
  /** Milliseconds in which all requests are served as before, while `/readyz` reports the stop. */
  delayMs: number;
  /** Called when new requests are refused from now on. */
  onRefusing(): void;
  /** Milliseconds for requests under way to end by themselves. */
  withinMs: number;
};

/**
 * Continues to serve until load balancers have seen `/readyz`, then accepts no more connections, lets every
 * answer end, hands over requests that do not end in time, and closes the rest. A request that arrives before
 * its connection is closed gets an answer: it is served, or refused with `server_shutting_down`.
 */
export async function drainAnswers(options: DrainOptions): Promise<void> {
  const { app, connections, sockets, delayMs, onRefusing, withinMs } = options;
  if (delayMs > 0) await sleep(delayMs);
  // Connections that wait to be accepted would be reset.
  await everythingRead();
  // Not http's own close, which closes a connection while the last bytes of its answer are in flight.
  TcpServer.prototype.close.call(app.server);
  // Requests on the last connections are served, because a load balancer could not know of the stop before.
  await everythingRead();
  onRefusing();
  connections.drain();
  await connections.settled(AbortSignal.timeout(withinMs));
  await connections.cutAll();
  const lastBytes = AbortSignal.timeout(lastBytesMs);
  await connections.settled(lastBytes);
  // An idle connection may have brought one more request.
  await everythingRead();
  await connections.settled(lastBytes);
  // The rest are readers that do not read, for which `close` would wait.
  for (const socket of sockets()) socket.destroy();
}

/** Resolves when the bytes that had arrived before have been read. */
async function everythingRead(): Promise<void> {
  await setImmediate();
  // The first immediate may run in the current turn of the event loop; between the two is a whole turn.
  await setImmediate();
}
