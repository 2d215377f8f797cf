import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { Services } from '../services.ts';

/** Bytes of an answer that leave with the system's own buffers, and need no watching. */
const smallBytes = 16 * 1024;

/**
 * Answers that are sent as a whole: what waits for their readers counts as what waits for those of
 * streams, and a reader that takes nothing for too long is let go.
 */
export function watchWholeAnswers(
  app: FastifyInstance,
  { connections, config }: Pick<Services, 'connections' | 'config'>,
): void {
  app.addHook('onSend', (_request, reply, payload, done) => {
    const response = reply.raw;
    const isLarge = typeof payload === 'string' && payload.length > smallBytes;
    if (isLarge && !response.destroyed) {
      const held = () => response.writableLength;
      const connection = connections.add(() => void response.destroy(), undefined, held);
      endWhenStalled(response, config.limits.readerStallMs);
      response.once('close', () => connection.remove());
    }
    done(null, payload);
  });
}

/** Lets go of a reader that takes nothing of this answer for so long, and of its connection. */
export function endWhenStalled(response: ServerResponse, stallMs: number): void {
  response.setTimeout(stallMs, () => response.destroy());
  // It is the socket's timeout, which Node leaves as it is when another answer waits behind this
  // one: that one may be silent. Before Node's own listener, which gives the next its socket.
  response.prependOnceListener('finish', () => response.socket?.setTimeout(0));
}
