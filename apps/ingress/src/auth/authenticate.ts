import type { FastifyRequest } from 'fastify';
import type { Config } from '@millrace/shared/config';
import type { Credentials, Principal, RefusalReason } from './api-keys.ts';
import type { KeyRing } from './key-ring.ts';
import { refusedFor } from './refused-for.ts';
import { createOriginCheck, isCrossSiteWrite } from './origins.ts';
import { createReadTokens } from './read-tokens.ts';
import { basicOf, isPassword } from './admin.ts';
import type { Admin } from './admin.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { networkOf } from './networks.ts';
import type { SessionKeys } from './session-keys.ts';
import { verifySession } from './sessions.ts';
import { addressOf, browserRequestOf, peerOf } from './client-address.ts';
import { refuse, retrySeconds } from '../errors.ts';
import type { Refused } from '../errors.ts';

export type Authenticator = {
  authenticate(request: FastifyRequest): AuthVerdict;
  /** As `authenticate`, with the key that a page sent in the first message of its WebSocket. */
  verifyKey(request: FastifyRequest, key: string): Authenticated | Refused;
};

export type Authenticated = { kind: 'admitted'; principal: Principal };

/** `awaits_key`: a page opens a WebSocket without a key. It cannot set headers, and sends its key in the first message. */
export type AuthVerdict = Authenticated | { kind: 'awaits_key' } | Refused;

export type AuthDeps = {
  config: Pick<Config, 'admin'> & { listen: Pick<Config['listen'], 'cors'> };
  keyRing: Pick<KeyRing, 'verify' | 'isRequired' | 'get'>;
  sessionKeys: Pick<SessionKeys, 'keyOf'>;
  loginThrottle: LoginThrottle;
};

/** The only route that waits for a key. */
export const socketPath = '/v1/ws';

/** The only route that accepts a read token in place of a key. */
export const eventsPath = '/v1/jobs/:id/events';

/**
 * The key that a request shows elsewhere than in `authorization`: as Anthropic's clients do, or as Google's, some of which
 * have it in the URL.
 */
function apiKeyOf({ headers, method, query, routeOptions }: FastifyRequest): string | undefined {
  const { 'x-api-key': own, 'x-goog-api-key': google } = headers;
  const { key } = query as { key?: unknown };
  const { url = '' } = routeOptions;
  // `GET /v1/models` is OpenAI's.
  const isGoogles =
    /^\/v1(?:alpha|beta)\/models/.test(url) || (method === 'POST' && url === '/v1/models/*');
  const inUrl = isGoogles ? key : undefined;
  return [own, google, inUrl].find((one) => typeof one === 'string');
}

/** May see every request but create none: using a model needs a key, which is charged. */
const adminPrincipal: Principal = { keyId: undefined, models: [], admin: true };

/**
 * Extracts the credentials of HTTP requests and checks them. `isProxy`: whether an address is that of a
 * trusted proxy.
 */
export function createAuthenticator(
  { config, keyRing, sessionKeys, loginThrottle }: AuthDeps,
  isProxy: (address: string) => boolean,
): Authenticator {
  const mayOpenSocket = createOriginCheck(config.listen.cors.origins);
  const readTokens = createReadTokens(keyRing);

  const refused = (reason: RefusalReason, keyId?: string): Refused =>
    refusedFor(reason, keyId, keyRing.isRequired());

  function credentialsOf(request: FastifyRequest): Credentials {
    const { authorization } = request.headers;
    return {
      authorization,
      apiKey: apiKeyOf(request),
      ...peerOf(request, isProxy),
    };
  }

  function isCrossSite(request: FastifyRequest): boolean {
    const { origin, host } = request.headers;
    if (request.ws) return !mayOpenSocket(origin, host);
    const isListed = origin !== undefined && mayOpenSocket(origin, host);
    return isCrossSiteWrite(browserRequestOf(request)) && !isListed;
  }

  /** By the password, unless its network has to wait, or by a session where no other credentials are shown. */
  function isOfAdmin(request: FastifyRequest, admin: Admin): boolean {
    const { authorization, cookie } = request.headers;
    if (authorization === undefined && apiKeyOf(request) === undefined) {
      const key = sessionKeys.keyOf(admin);
      return cookie !== undefined && verifySession(cookie, key, Date.now()).kind === 'valid';
    }
    const shown = basicOf(authorization);
    return shown !== undefined && passwordWaitMs(request) === 0 && isPassword(shown, admin);
  }

  const passwordWaitMs = (request: FastifyRequest): number =>
    loginThrottle.waitOf(networkOf(addressOf(request)));

  /** Undefined for a request without a read token. */
  function authenticateByToken(request: FastifyRequest): Authenticated | Refused | undefined {
    const { authorization } = request.headers;
    const { token } = request.query as { token?: unknown };
    const isAsked = request.routeOptions.url === eventsPath && token !== undefined;
    if (!isAsked || !keyRing.isRequired()) return undefined;
    if (authorization !== undefined || apiKeyOf(request) !== undefined) return undefined;
    const verdict = readTokens.verify(typeof token === 'string' ? token : '', {
      id: (request.params as { id: string }).id,
      address: addressOf(request),
      now: Date.now(),
    });
    if (typeof verdict !== 'string') return { kind: 'admitted', principal: verdict };
    if (verdict !== 'unknown' && verdict !== 'expired') return refused(verdict);
    const problem = verdict === 'expired' ? 'token_expired' : 'token_invalid';
    return refuse('invalid_api_key', { problem, countAs: 'read_token' });
  }

  return {
    authenticate(request) {
      const byToken = authenticateByToken(request);
      if (byToken) return byToken;
      const { origin, host, authorization } = request.headers;
      if (config.admin && isOfAdmin(request, config.admin)) {
        // A browser that has stored the password sends it with the requests of any page.
        if (isCrossSite(request)) return refused('foreign_page');
        return { kind: 'admitted', principal: adminPrincipal };
      }
      // Without keys the verifier itself checks the origin.
      if (request.ws && keyRing.isRequired() && !mayOpenSocket(origin, host)) {
        return refused('foreign_page');
      }
      const verdict = keyRing.verify(credentialsOf(request));
      if (verdict.kind === 'admitted') return verdict;
      const isPage = request.ws && request.routeOptions.url === socketPath && origin !== undefined;
      if (verdict.reason === 'no_key' && isPage) return { kind: 'awaits_key' };
      const refusal = refused(verdict.reason, verdict.keyId);
      // A wrong password of the admin, who may use the API.
      const isBasic = config.admin !== undefined && /^basic /i.test(authorization ?? '');
      if (verdict.reason !== 'no_key' || !isBasic) return refusal;
      const waitMs = passwordWaitMs(request);
      if (waitMs > 0) {
        const seconds = Number(retrySeconds(waitMs));
        return refuse('too_many_logins', { seconds, retryAfter: seconds });
      }
      if (basicOf(authorization)) {
        loginThrottle.failed(networkOf(addressOf(request)), authorization);
      }
      return { ...refusal, params: { ...refusal.params, countAs: 'admin_only' } };
    },
    verifyKey(request, key) {
      const verdict = keyRing.verify({
        ...credentialsOf(request),
        authorization: undefined,
        apiKey: key,
      });
      return verdict.kind === 'admitted' ? verdict : refused(verdict.reason, verdict.keyId);
    },
  };
}
