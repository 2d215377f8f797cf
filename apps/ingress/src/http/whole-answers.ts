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
      const destroy = () => void response.destroy();
      const held = () => response.writableLength;
      const connection = connections.add(destroy, undefined, held);
      response.setTimeout(config.limits.readerStallMs, destroy);
      response.once('close', () => connection.remove());
    }
    done(null, payload);
  });
}
