import type { FastifyInstance } from 'fastify';
import { idOf } from '../attention/condition.ts';
import type { Attention, SeenCondition } from '../attention/watch.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';
import { askRedis } from './redis-answer.ts';

export type AttentionRoutesOptions = {
  attention: Pick<Attention, 'list'>;
  /** Whether Redis is reachable. */
  isReady(): boolean;
  onError(error: unknown): void;
};

/** Conditions of one answer. */
const most = 200;

/** `GET /admin/attention`. */
export function attentionRoutes(app: FastifyInstance, options: AttentionRoutesOptions): void {
  app.get<{ Querystring: Query }>('/admin/attention', async ({ query }) => {
    knownOnly(query, []);
    const found = await askRedis(options, () => options.attention.list(), away);
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

const away = {
  message: 'Redis does not answer, so the state of the fleet is not known; try again.',
};
