import { Server as TcpServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Connections } from './connections.ts';

/** Milliseconds for the last bytes to readers. */
const lastBytesMs = 1000;

export type DrainOptions = {
  app: FastifyInstance;
  connections: Connections;
  /** Milliseconds for what is under way to end by itself. */
  withinMs: number;
};

/**
 * Takes no more connections, lets every answer end, and closes what is left. What came before a
 * connection is closed is answered on it: served, or told that the server shuts down.
 */
export async function drainAnswers({ app, connections, withinMs }: DrainOptions): Promise<void> {
  // Who waits to be accepted would be reset.
  await everythingRead();
  // Not http's own close: it takes an answer whose last bytes are under way for an idle connection.
  TcpServer.prototype.close.call(app.server);
  connections.drain();
  await connections.settled(AbortSignal.timeout(withinMs));
  connections.cutAll();
  const lastBytes = AbortSignal.timeout(lastBytesMs);
  await connections.settled(lastBytes);
  // A connection that was kept open may have brought one more.
  await everythingRead();
  await connections.settled(lastBytes);
  // What is left is readers that take nothing; `close` would wait for them.
  app.server.closeAllConnections();
  for (const socket of app.websocketServer.clients) socket.terminate();
}

/** Resolves when what had come to the sockets before has been read. */
async function everythingRead(): Promise<void> {
  await setImmediate();
  // The first one may end the turn in which it was asked for; between the two there is a whole one.
  await setImmediate();
}
