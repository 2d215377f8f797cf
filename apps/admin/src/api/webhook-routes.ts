import { deliveryStates } from '@millrace/shared/store/webhooks/port';
import type {
  Deliveries,
  DeliveryOutcome,
  DeliveryView,
} from '@millrace/shared/store/webhooks/port';
import type { FastifyInstance } from 'fastify';
import { AdminError } from './admin-error.ts';
import { onlyOrigin } from './redacted-config.ts';
import { knownOnly, readCount, readWord } from './parameters.ts';
import type { Query } from './parameters.ts';
import { askRedis } from './redis-answer.ts';

export type WebhookRoutesOptions = {
  /** Absent: the config has no webhooks. */
  deliveries: Omit<Deliveries, 'add' | 'stop'> | undefined;
  /** Whether Redis is reachable. */
  isReady(): boolean;
  onError(error: unknown): void;
};

type OfOne = { Params: { id: string }; Querystring: Query };

/** `GET /admin/webhooks`, `POST /admin/webhooks/{id}/replay` and `DELETE /admin/webhooks/{id}`. */
export function webhookRoutes(app: FastifyInstance, options: WebhookRoutesOptions): void {
  async function ask<T>(question: (deliveries: Deliveries) => Promise<T>): Promise<T> {
    const { deliveries } = options;
    if (!deliveries) throw noWebhooks();
    return askRedis(options, () => question(deliveries as Deliveries));
  }

  app.get<{ Querystring: Query }>('/admin/webhooks', async ({ query }) => {
    knownOnly(query, ['state', 'limit']);
    const limit = readCount(query, 'limit', { fallback: 100, most: 1000 });
    const word = readWord(query, 'state', deliveryStates);
    const states = word === undefined ? deliveryStates : [word];
    const [counts, ...found] = await ask((deliveries) =>
      Promise.all([
        deliveries.counts(),
        ...states.map((state) => deliveries.list(state, limit + 1)),
      ] as const),
    );
    const all = found.flat().sort((one, other) => other.createdAt - one.createdAt);
    return {
      data: all.slice(0, limit).map(view),
      counts,
      ...(all.length > limit && { truncated: true }),
    };
  });

  app.post<OfOne>('/admin/webhooks/:id/replay', async ({ params, query }) => {
    knownOnly(query, []);
    const { id } = params;
    return ask(async (deliveries) => {
      check(id, await deliveries.replay(id));
      const found = await deliveries.find(id);
      if (!found) throw notFound(id);
      return view(found);
    });
  });

  app.delete<OfOne>('/admin/webhooks/:id', async ({ params, query }) => {
    knownOnly(query, []);
    const { id } = params;
    check(id, await ask((deliveries) => deliveries.remove(id)));
    return { id, deleted: true };
  });
}

function check(id: string, outcome: DeliveryOutcome): void {
  if (outcome === 'unknown') throw notFound(id);
  if (outcome === 'busy') {
    throw new AdminError(
      409,
      'webhook_busy',
      `An attempt to deliver '${id}' is under way; try again in some seconds.`,
    );
  }
}

function view(one: DeliveryView) {
  const { id, event, url, request, createdAt, attempts, nextAt, state, error, status } = one;
  return {
    id,
    event,
    url: onlyOrigin(url),
    request,
    created_at: new Date(createdAt).toISOString(),
    attempts,
    next_at: nextAt === undefined ? null : new Date(nextAt).toISOString(),
    state,
    last_error: error ?? null,
    status: status ?? null,
  };
}

const notFound = (id: string): AdminError =>
  new AdminError(
    404,
    'webhook_not_found',
    `There is no delivery '${id.slice(0, 100)}': it was deleted, or is older than deliveries are kept.`,
  );

const noWebhooks = (): AdminError =>
  new AdminError(
    404,
    'no_webhooks',
    'This fleet sends no webhooks: set webhooks.secret in the config and restart it.',
  );
