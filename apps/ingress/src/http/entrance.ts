import type { FastifyRequest } from 'fastify';
import type { Credentials, Principal, RefusalReason } from '../admission/keys.ts';
import { createOriginCheck } from '../admission/origins.ts';
import type { Services } from '../services.ts';
import { isAdmin } from './admin.ts';
import { addressOf, neighbourOf } from './client.ts';
import { forbidden, notLocal, unauthorized } from './errors.ts';
import type { ApiError } from './errors.ts';

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

  return {
    enter(request) {
      const { authorization, origin, host } = request.headers;
      if (config.admin && isAdmin(authorization, config.admin)) return adminPrincipal;
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
