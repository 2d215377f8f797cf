import type { FastifyRequest } from 'fastify';
import type { Credentials, Principal, RefusalReason } from './api-keys.ts';
import { createOriginCheck, isPressedElsewhere } from './origins.ts';
import { createReadTokens } from './read-tokens.ts';
import type { Services } from '../services.ts';
import { isAdmin } from '../api/admin/routes.ts';
import { addressOf, askerOf, neighbourOf } from './client.ts';
import { forbidden, notLocal, unauthorized } from '../errors.ts';
import type { ApiError } from '../errors.ts';

export type Entrance = {
  /**
   * Who asks. Undefined for a page that opens a WebSocket without a key: it cannot set headers, and
   * shows its key in the first message. Throws an ApiError for who may not enter.
   */
  enter(request: FastifyRequest): Principal | undefined;
  /** As `enter`, with the key that such a page showed. */
  prove(request: FastifyRequest, key: string): Principal;
};

/** The one route that waits for a key. */
export const socketPath = '/v1/ws';

/** The one route that takes a read token in place of a key. */
export const eventsPath = '/v1/jobs/:id/events';

/** Sees every request and asks for none: a model is used with a key, on its account. */
const adminPrincipal: Principal = { keyId: undefined, models: [], admin: true };

/**
 * The gate as HTTP: credentials out of a request, and refusals as errors, counted. `isProxy`: one
 * whose word is believed.
 */
export function createEntrance(
  { config, gate, refused }: Services,
  isProxy: (address: string) => boolean,
): Entrance {
  const mayOpenSocket = createOriginCheck(config.listen.cors.origins);
  const readTokens = createReadTokens(config.keys ?? []);

  function refuse(request: FastifyRequest, reason: RefusalReason, keyId?: string): ApiError {
    refused({ reason, keyId, address: addressOf(request) });
    return Object.assign(toError(reason, config.keys !== undefined), { counted: true });
  }

  function credentialsOf(request: FastifyRequest): Credentials {
    const { authorization, 'x-api-key': apiKey } = request.headers;
    return {
      authorization,
      apiKey: typeof apiKey === 'string' ? apiKey : undefined,
      ...neighbourOf(request, isProxy),
    };
  }

  function isForeign(request: FastifyRequest): boolean {
    const { origin, host } = request.headers;
    if (request.ws) return !mayOpenSocket(origin, host);
    const isListed = origin !== undefined && mayOpenSocket(origin, host);
    return isPressedElsewhere(askerOf(request)) && !isListed;
  }

  /** Undefined where a token plays no part. */
  function enterByToken(request: FastifyRequest): Principal | undefined {
    const { authorization, 'x-api-key': apiKey } = request.headers;
    const { token } = request.query as { token?: unknown };
    const isAsked = request.routeOptions.url === eventsPath && token !== undefined && config.keys;
    if (!isAsked || authorization !== undefined || apiKey !== undefined) return undefined;
    const verdict = readTokens.verify(typeof token === 'string' ? token : '', {
      id: (request.params as { id: string }).id,
      address: addressOf(request),
      now: Date.now(),
    });
    if (typeof verdict !== 'string') return verdict;
    if (verdict === 'address') throw refuse(request, 'address');
    refused({ reason: 'read_token', address: addressOf(request) });
    const why = verdict === 'expired' ? 'has expired' : 'is not good for this stream';
    throw Object.assign(unauthorized(`The read token ${why}.`), { counted: true });
  }

  return {
    enter(request) {
      const byToken = enterByToken(request);
      if (byToken) return byToken;
      const { authorization, origin, host } = request.headers;
      if (config.admin && isAdmin(authorization, config.admin)) {
        // A browser that knows the password sends it along with what any page asks for.
        if (isForeign(request)) throw refuse(request, 'foreign_page');
        return adminPrincipal;
      }
      // Without keys the gate has its own word on pages.
      if (request.ws && config.keys && !mayOpenSocket(origin, host)) {
        throw refuse(request, 'foreign_page');
      }
      const verdict = gate(credentialsOf(request));
      if (verdict.kind === 'admitted') return verdict.principal;
      const isPage = request.ws && request.routeOptions.url === socketPath && origin !== undefined;
      if (verdict.reason === 'no_key' && isPage) return undefined;
      throw refuse(request, verdict.reason, verdict.keyId);
    },
    prove(request, key) {
      const verdict = gate({ ...credentialsOf(request), authorization: undefined, apiKey: key });
      if (verdict.kind === 'admitted') return verdict.principal;
      throw refuse(request, verdict.reason, verdict.keyId);
    },
  };
}

function toError(reason: RefusalReason, hasKeys: boolean): ApiError {
  switch (reason) {
    case 'no_key':
      return unauthorized(
        'You did not provide an API key: send it as a bearer token in the Authorization header.',
      );
    case 'unknown_key':
      return unauthorized('Incorrect API key provided.');
    case 'address':
      return forbidden('This API key may not be used from your address.', 'address_not_allowed');
    case 'foreign_page':
      return hasKeys
        ? forbidden(
            'Pages of this site may not use this server: its config does not name them.',
            'foreign_page',
          )
        : notLocal(reason, 'No keys are configured', 'keys');
    case 'untrusted_proxy':
    case 'loopback_only':
      return notLocal(reason, 'No keys are configured', 'keys');
  }
}
