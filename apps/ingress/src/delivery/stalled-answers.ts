import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** Answers up to this many bytes fit into the buffers of the operating system, and are not watched. */
const smallBytes = 16 * 1024;

/** The registry in which a drain finds the answers that wait for their readers. */
type WatchedConnections = {
  add(cut: () => void, onDrain: undefined, held: () => number): { remove(): void };
};

/**
 * For answers that are sent as a whole: counts the bytes that wait for their readers like those of streams,
 * and closes the connection of a reader that reads nothing for too long.
 */
export function watchWholeAnswers(
  app: FastifyInstance,
  { connections, readerStallMs }: { connections: WatchedConnections; readerStallMs: number },
): void {
  app.addHook('onSend', (_request, reply, payload, done) => {
    const response = reply.raw;
    const isLarge = typeof payload === 'string' && payload.length > smallBytes;
    if (isLarge && !response.destroyed) {
      const held = () => response.writableLength;
      const connection = connections.add(() => void response.destroy(), undefined, held);
      endWhenStalled(response, readerStallMs);
      response.once('close', () => connection.remove());
    }
    done(null, payload);
  });
}

/** Closes the connection of a reader that reads nothing of this answer for `stallMs`. */
export function endWhenStalled(response: ServerResponse, stallMs: number): void {
  response.setTimeout(stallMs, () => response.destroy());
  // It is the socket's timeout, which Node does not reset when another answer waits behind this one, and that
  // one may be silent. Registered before Node's own listener, which assigns the socket to the next answer.
  response.prependOnceListener('finish', () => response.socket?.setTimeout(0));
}
