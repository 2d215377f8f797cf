import { withTimeout } from '@millrace/shared/runtime/timeout';
import { passesByItself } from '@millrace/shared/store/redis-failure';
import type { FastifyInstance } from 'fastify';
import { idOf } from '../attention/condition.ts';
import type { Attention, SeenCondition } from '../attention/watch.ts';
import { AdminError } from './admin-error.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';

export type AttentionRoutesOptions = {
  attention: Pick<Attention, 'list'>;
  /** Whether Redis is reachable. */
  isReady(): boolean;
  onError(error: unknown): void;
};

/** Milliseconds that an operator waits for Redis, which asks the workers. */
const answerMs = 3000;
/** Conditions of one answer. */
const most = 200;

/** `GET /admin/attention`. */
export function attentionRoutes(app: FastifyInstance, options: AttentionRoutesOptions): void {
  const { attention, isReady, onError } = options;

  async function list(): Promise<SeenCondition[]> {
    if (!isReady()) throw unavailable();
    try {
      return await withTimeout(attention.list(), answerMs, unavailable);
    } catch (error) {
      if (!passesByItself(error)) throw error;
      onError(error);
      throw unavailable();
    }
  }

  app.get<{ Querystring: Query }>('/admin/attention', async ({ query }) => {
    knownOnly(query, []);
    const found = await list();
    return {
      data: found.slice(0, most).map(view),
      ...(found.length > most && { truncated: true }),
    };
  });
}

function view(condition: SeenCondition) {
  const { code, severity, title, detail, sinceAt, link } = condition;
  return {
    id: idOf(condition),
    code,
    severity,
    title,
    detail,
    since_at: new Date(sinceAt).toISOString(),
    link,
  };
}

const unavailable = (): AdminError =>
  new AdminError(
    503,
    'redis_unavailable',
    'Redis does not answer, so the state of the fleet is not known; try again.',
  );
