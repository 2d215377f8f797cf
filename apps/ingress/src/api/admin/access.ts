import type { FastifyReply, FastifyRequest } from 'fastify';
import { basicOf, isPassword } from '../../auth/admin.ts';
import type { Admin } from '../../auth/admin.ts';
import { addressOf, browserRequestOf, peerOf } from '../../auth/client-address.ts';
import { whyNotLocal } from '../../auth/local-only.ts';
import type { LoginThrottle } from '../../auth/login-throttle.ts';
import { networkOf } from '../../auth/networks.ts';
import { isCrossSiteWrite } from '../../auth/origins.ts';
import type { SessionKeys } from '../../auth/session-keys.ts';
import { renewed, setCookie, verifySession } from '../../auth/sessions.ts';
import type { SessionVerdict } from '../../auth/sessions.ts';
import { apiError } from '../../api-error.ts';
import type { ApiError } from '../../api-error.ts';
import { retrySeconds } from '../../errors.ts';
import { consolePage, controlPlanePath, mayChangeKeys } from './control-plane.ts';

export const sessionPath = '/admin/session';

export type AccessOptions = {
  readonly admin: Admin | undefined;
  readonly sessionKeys: SessionKeys;
  readonly loginThrottle: LoginThrottle;
  /** Whether clients of the API need a key. */
  isKeyRequired(): boolean;
  /** Whether an address is that of a trusted proxy. */
  isProxy(address: string): boolean;
};

/**
 * The error for a client that may not use an admin path; undefined if it may. A session that is in use is renewed with the
 * answer.
 */
export async function refuse(
  request: FastifyRequest,
  reply: FastifyReply,
  options: AccessOptions,
): Promise<ApiError | undefined> {
  const { admin } = options;
  if (!admin) return refuseRemote(request, options);
  // Before the password: also a page that logs an operator in or out is one of another site.
  const isForeign = isCrossSiteWrite(browserRequestOf(request));
  const authority = await authorityOf(request, reply, { ...options, admin });
  if (authority === 'admin' || isOpen(request)) {
    return isForeign ? apiError('foreign_page', { of: 'admin' }) : undefined;
  }
  const challenge: Record<string, string> = mayPrompt(request)
    ? { 'www-authenticate': 'Basic realm="millrace"' }
    : {};
  if (typeof authority === 'number') return tooManyLogins(authority);
  switch (authority) {
    case 'expired':
      return apiError('session_expired', { headers: challenge });
    case 'forged':
      return apiError('session_expired', { headers: challenge, countAs: 'forged_session' });
    case 'wrong':
      return apiError('admin_only', { headers: challenge });
    case 'none':
      // A browser asks without a password first.
      return apiError('admin_only', { headers: challenge, countAs: 'no_key' });
  }
}

/** Where no admin is configured, this machine needs no password, and all others may not use these paths. */
function refuseRemote(
  request: FastifyRequest,
  { isProxy, isKeyRequired }: AccessOptions,
): ApiError | undefined {
  // Web origins that may use the API are refused as well, because these pages have buttons that delete.
  const reason = whyNotLocal(peerOf(request, isProxy));
  if (!reason) {
    // A program of this machine that has no key could otherwise give itself one.
    const { url: route } = request.routeOptions;
    const changesKeys = route === controlPlanePath && mayChangeKeys(request.method, request.url);
    return changesKeys && isKeyRequired()
      ? apiError('admin_only', { isUnset: true, countAs: 'no_key' })
      : undefined;
  }
  const local = { because: 'No admin is configured', section: 'admin' };
  return reason === 'foreign_page'
    ? apiError(reason, { of: 'local', ...local })
    : apiError(reason, local);
}

/** What a request shows of itself: `wrong` is a password; a number is the milliseconds until its network may show another one. */
type Authority = 'admin' | 'expired' | 'forged' | 'wrong' | 'none' | number;

async function authorityOf(
  request: FastifyRequest,
  reply: FastifyReply,
  { admin, sessionKeys, loginThrottle }: AccessOptions & { admin: Admin },
): Promise<Authority> {
  const { authorization, cookie } = request.headers;
  const shown = basicOf(authorization);
  const network = networkOf(addressOf(request));
  const waitMs = shown ? loginThrottle.waitOf(network) : 0;
  if (shown && waitMs === 0 && isPassword(shown, admin)) return 'admin';
  const now = Date.now();
  const verdict = await readSession(cookie, { admin, sessionKeys, now });
  if (verdict.kind === 'valid') {
    const session = renewed(verdict.session, now);
    const key = sessionKeys.keyOf(admin);
    if (session) sendCookie(reply, setCookie(session, { key, now, ...wayOf(request) }));
    return 'admin';
  }
  if (waitMs > 0) return waitMs;
  // A browser sends an old password with the console's page and its assets, too.
  if (shown && !isOpen(request)) loginThrottle.failed(network, authorization);
  if (authorization !== undefined) return 'wrong';
  return verdict.kind === 'absent' ? 'none' : verdict.kind;
}

/** As `verifySession`; a signature that is not valid may be of a secret that this ingress has not read yet. */
export async function readSession(
  cookie: string | undefined,
  { admin, sessionKeys, now }: { admin: Admin; sessionKeys: SessionKeys; now: number },
): Promise<SessionVerdict> {
  const verdict = verifySession(cookie, sessionKeys.keyOf(admin), now);
  if (verdict.kind !== 'forged') return verdict;
  await sessionKeys.refreshRarely();
  return verifySession(cookie, sessionKeys.keyOf(admin), now);
}

export function tooManyLogins(waitMs: number): ApiError {
  const seconds = Number(retrySeconds(waitMs));
  return apiError('too_many_logins', { seconds, retryAfter: seconds });
}

/** `isTls`: the browser's connection has TLS, here or at a trusted proxy. */
export const wayOf = ({ protocol }: FastifyRequest): { isTls: boolean } => ({
  isTls: protocol === 'https',
});

/** Bypasses fastify, because the answers of the control plane do. */
export function sendCookie({ raw }: FastifyReply, cookie: string): void {
  raw.setHeader('set-cookie', cookie);
}

/** What needs no password: the console's page and its assets, which hold no secret, and to log in and out. */
function isOpen({ method, url, routeOptions }: FastifyRequest): boolean {
  if (routeOptions.url === sessionPath) return method === 'POST' || method === 'DELETE';
  return (method === 'GET' || method === 'HEAD') && consolePage.test(url);
}

/**
 * Whether the answer to a request without credentials asks for them, for which a browser opens a window of its own. The console
 * has a page for that; it marks its requests, because browsers send `sec-fetch-…` only over TLS and to loopback.
 */
function mayPrompt({ headers }: FastifyRequest): boolean {
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': destination } = headers;
  if (headers['x-millrace-console'] !== undefined) return false;
  if (mode !== undefined && mode !== 'navigate') return false;
  // The console shows Bull Board in a frame.
  return destination === undefined || destination === 'document';
}

/**
 * Of every answer below `/admin`; the control plane adds to them for its pages. Only the console, which is of the same origin, may
 * show a page in a frame, and no cache keeps an answer unless it says so.
 */
export const adminHeaders: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
  'content-security-policy': "frame-ancestors 'self'",
  'referrer-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};
