import type { FastifyRequest } from 'fastify';
import type { Credentials, Principal, RefusalReason } from './api-keys.ts';
import { createOriginCheck, isCrossSiteWrite } from './origins.ts';
import { createReadTokens } from './read-tokens.ts';
import type { Services } from '../services.ts';
import { isAdmin } from '../api/admin/routes.ts';
import { addressOf, browserRequestOf, peerOf } from './client.ts';
import { apiError } from '../errors.ts';
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
    const problem = verdict === 'expired' ? 'token_expired' : 'token_invalid';
    throw Object.assign(apiError('invalid_api_key', { problem }), { counted: true });
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
  const local = { because: 'No keys are configured', section: 'keys' };
  switch (reason) {
    case 'no_key':
      return apiError('invalid_api_key', { problem: 'missing' });
    case 'unknown_key':
      return apiError('invalid_api_key', { problem: 'incorrect' });
    case 'address':
      return apiError('address_not_allowed');
    case 'foreign_page':
      return hasKeys
        ? apiError('foreign_page', { of: 'api' })
        : apiError('foreign_page', { of: 'local', ...local });
    case 'untrusted_proxy':
    case 'loopback_only':
      return apiError(reason, local);
  }
}
