import { parseDuration } from '@millrace/shared/config';
import type { FastifyInstance } from 'fastify';
import { createReadTokens } from '../../auth/read-tokens.ts';
import type { Services } from '../../services.ts';
import { parseObject, wrongType } from '../json-body.ts';
import { eventsPath } from '../../auth/authenticate.ts';
import { apiError } from '../../api-error.ts';
import { findJob } from './find-job.ts';
import { tokenOperation } from './operations.ts';
import { adoptId } from '../../server/request-id.ts';

/** Milliseconds: longer than most streams take, because an EventSource reconnects with its original URL. */
const defaultLife = 10 * 60_000;
const longestLife = 24 * 60 * 60_000;

/**
 * `POST /v1/jobs/{id}/token`: a URL by which a browser's EventSource reads this one stream without a key.
 * Body, or none: `{"expires_in": "10m"}`, a duration.
 */
export function readTokenRoute(app: FastifyInstance, services: Services): void {
  const tokens = createReadTokens(services.keyRing);

  app.post<{ Params: { id: string } }>(
    '/v1/jobs/:id/token',
    { config: { operation: tokenOperation } },
    async (request, reply) => {
      const { principal } = request;
      const { meta } = await findJob(services, principal, request.params.id);
      adoptId(reply, meta.id);
      const life = request.body === undefined ? defaultLife : readLife(parseObject(request.body));
      const expiresAt = Math.floor((Date.now() + life) / 1000);
      const url = eventsPath.replace(':id', meta.id);
      // Without configured keys the stream can be read without a token.
      // An admin shows no secret of the key.
      const shown = principal.keyId === meta.keyId ? principal.secretSha256 : undefined;
      const token =
        meta.keyId === undefined ? undefined : tokens.sign(meta.keyId, meta.id, expiresAt, shown);
      if (token === undefined && services.keyRing.isRequired()) throw apiError('token_unavailable');
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({
          token: token ?? null,
          expires_at: token === undefined ? null : expiresAt,
          events_url: token === undefined ? url : `${url}?token=${token}`,
        });
    },
  );
}

function readLife({ expires_in: value, ...others }: Record<string, unknown>): number {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    const param = unknown.slice(0, 100);
    throw apiError('unknown_parameter', { param });
  }
  if (value === undefined) return defaultLife;
  const param = 'expires_in';
  if (typeof value !== 'string') throw wrongType(param, "a duration such as '10m'", value);
  const life = parseDuration(value);
  if (life === undefined || life < 1000 || life > longestLife) {
    throw apiError('invalid_value', { param, expected: "a duration from '1s' to '24h'" });
  }
  return life;
}
