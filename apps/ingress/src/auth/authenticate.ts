import type { FastifyRequest } from 'fastify';
import type { Credentials, Principal, RefusalReason } from './api-keys.ts';
import { createOriginCheck, isCrossSiteWrite } from './origins.ts';
import { createReadTokens } from './read-tokens.ts';
import type { Services } from '../services.ts';
import { isAdmin } from '../api/admin/routes.ts';
import { addressOf, browserRequestOf, peerOf } from './client.ts';
import { forbidden, notLocal, unauthorized } from '../errors.ts';
import type { ApiError } from '../errors.ts';

export type Authenticator = {
  /**
   * The principal of a request. Undefined for a page that opens a WebSocket without a key: it cannot set
   * headers, and sends its key in the first message. Throws an ApiError if the request is not allowed.
   */
  authenticate(request: FastifyRequest): Principal | undefined;
  /** As `authenticate`, with the key that such a page sent. */
  verifyKey(request: FastifyRequest, key: string): Principal;
};

/** The only route that waits for a key. */
export const socketPath = '/v1/ws';

/** The only route that accepts a read token in place of a key. */
export const eventsPath = '/v1/jobs/:id/events';

/** Sees every request and can make none: a model is used with a key, which is charged for it. */
const adminPrincipal: Principal = { keyId: undefined, models: [], admin: true };

/**
 * Takes the credentials out of HTTP requests, checks them, and counts rejections. `isProxy`: whether an
 * address is that of a trusted proxy.
 */
export function createAuthenticator(
  { config, verifyKey, refused }: Services,
  isProxy: (address: string) => boolean,
): Authenticator {
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
      ...peerOf(request, isProxy),
    };
  }

  function isCrossSite(request: FastifyRequest): boolean {
    const { origin, host } = request.headers;
    if (request.ws) return !mayOpenSocket(origin, host);
    const isListed = origin !== undefined && mayOpenSocket(origin, host);
    return isCrossSiteWrite(browserRequestOf(request)) && !isListed;
  }

  /** Undefined for a request without a read token. */
  function authenticateByToken(request: FastifyRequest): Principal | undefined {
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
    authenticate(request) {
      const byToken = authenticateByToken(request);
      if (byToken) return byToken;
      const { authorization, origin, host } = request.headers;
      if (config.admin && isAdmin(authorization, config.admin)) {
        // A browser that knows the password sends it with the requests of any page.
        if (isCrossSite(request)) throw refuse(request, 'foreign_page');
        return adminPrincipal;
      }
      // Without keys the verifier itself checks the origin.
      if (request.ws && config.keys && !mayOpenSocket(origin, host)) {
        throw refuse(request, 'foreign_page');
      }
      const verdict = verifyKey(credentialsOf(request));
      if (verdict.kind === 'admitted') return verdict.principal;
      const isPage = request.ws && request.routeOptions.url === socketPath && origin !== undefined;
      if (verdict.reason === 'no_key' && isPage) return undefined;
      throw refuse(request, verdict.reason, verdict.keyId);
    },
    verifyKey(request, key) {
      const verdict = verifyKey({
        ...credentialsOf(request),
        authorization: undefined,
        apiKey: key,
      });
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
