import type { FastifyInstance } from 'fastify';
import type { LiveSample } from '../live/sample.ts';
import { liveView } from '../live/view.ts';
import { queueView } from '../live/queue-view.ts';
import { knownOnly, readCount } from './parameters.ts';
import type { Query } from './parameters.ts';
import { askRedis } from './redis-answer.ts';

export type LiveSource = {
  /** The requests under way; all who look within half a second share one sample. */
  sample(): Promise<LiveSample>;
  /** Whether Redis is reachable. */
  isReady(): boolean;
  onError(error: unknown): void;
};

/** Waiting requests in one answer. */
const maxListed = 1000;

/** `GET /admin/live` and `/admin/queue`. */
export function liveRoutes(app: FastifyInstance, source: LiveSource): void {
  app.get<{ Querystring: Query }>('/admin/live', async ({ query }) => {
    knownOnly(query, []);
    return liveView(await askRedis(source, () => source.sample()));
  });

  app.get<{ Querystring: Query }>('/admin/queue', async ({ query }) => {
    knownOnly(query, ['limit']);
    const limit = readCount(query, 'limit', { fallback: 100, most: maxListed });
    return queueView(await askRedis(source, () => source.sample()), limit);
  });
}
