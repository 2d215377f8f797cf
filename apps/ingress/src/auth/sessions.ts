import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { Admin } from './admin.ts';

/*
 * The session of an operator who has logged in with a browser: a signed cookie, and nothing in any process or in Redis. The key of
 * the signature is derived from the admin's user and password, so every ingress with the same config accepts the cookie, and
 * another password ends all sessions. A copied cookie is valid until it expires, also after a logout.
 */

export const sessionCookie = 'millrace_session';

/** Milliseconds after which a session that is not used expires. */
export const sessionMs = 12 * 3_600_000;

/** Milliseconds after its login at which a session ends although it is used: a page may be left open for ever. */
export const longestSessionMs = 7 * 24 * 3_600_000;

/** A cookie of this age, in milliseconds, is replaced by a new one, which expires later. */
const renewMs = 3_600_000;

/** Cookies of this name that are looked at: a page of a sibling host can set further ones. */
const maxCookies = 4;

/** Times are milliseconds since the epoch. */
export type Session = { readonly startedAt: number; readonly expiresAt: number };

export type SessionVerdict =
  | { kind: 'valid'; session: Session }
  | { kind: 'absent' }
  | { kind: 'expired' }
  /** It is signed with another key: it was made up, or it is of an earlier password. */
  | { kind: 'forged' };

/** The session of a login at this time. */
export const newSession = (now: number): Session => ({
  startedAt: now,
  expiresAt: now + sessionMs,
});

/** The session that replaces this one, which is in use; undefined if it is young enough. */
export function renewed({ startedAt, expiresAt }: Session, now: number): Session | undefined {
  const later = Math.min(now + sessionMs, startedAt + longestSessionMs);
  return later - expiresAt < renewMs ? undefined : { startedAt, expiresAt: later };
}

/** The value of the cookie: version, start and end of the session, and their signature. */
export function signSession({ startedAt, expiresAt }: Session, admin: Admin): string {
  const signed = `v1.${startedAt.toString(36)}.${expiresAt.toString(36)}`;
  return `${signed}.${signatureOf(signed, admin).toString('base64url')}`;
}

/** The verdict on a `Cookie` header, as sent. Signatures are compared in constant time. */
export function verifySession(
  cookies: string | undefined,
  admin: Admin,
  now: number,
): SessionVerdict {
  let verdict: SessionVerdict = { kind: 'absent' };
  for (const value of valuesOf(cookies ?? '')) {
    const one = verifyValue(value, admin, now);
    if (one.kind === 'valid') return one;
    if (verdict.kind !== 'expired') verdict = one;
  }
  return verdict;
}

function verifyValue(value: string, admin: Admin, now: number): SessionVerdict {
  const [, signed = '', startedAt = '', expiresAt = '', signature = ''] = form.exec(value) ?? [];
  const shown = Buffer.from(signature, 'base64url');
  const right = signatureOf(signed, admin);
  if (shown.length !== right.length || !timingSafeEqual(shown, right)) return { kind: 'forged' };
  const session = {
    startedAt: Number.parseInt(startedAt, 36),
    expiresAt: Number.parseInt(expiresAt, 36),
  };
  return now < session.expiresAt ? { kind: 'valid', session } : { kind: 'expired' };
}

const form = /^(v1\.([0-9a-z]{1,11})\.([0-9a-z]{1,11}))\.([\w-]{43})$/;

function valuesOf(cookies: string): string[] {
  const prefix = `${sessionCookie}=`;
  return cookies
    .split(';')
    .map((cookie) => cookie.trim())
    .filter((cookie) => cookie.startsWith(prefix))
    .slice(0, maxCookies)
    .map((cookie) => cookie.slice(prefix.length));
}

/** Of each config's admin. */
const keys = new WeakMap<Admin, Buffer>();

function signatureOf(text: string, admin: Admin): Buffer {
  let key = keys.get(admin);
  if (!key) {
    const secret = Buffer.from(admin.passwordSha256, 'hex');
    key = Buffer.from(hkdfSync('sha256', secret, admin.user, 'millrace session', 32));
    keys.set(admin, key);
  }
  return createHmac('sha256', key).update(text).digest();
}

/**
 * The `Set-Cookie` header that hands a browser a session, or takes it away. Scripts cannot read the cookie, and no page of another
 * site makes a browser send it.
 */
export function setCookie(
  session: Session | undefined,
  { admin, isTls, now }: { admin: Admin; isTls: boolean; now: number },
): string {
  const value = session ? signSession(session, admin) : '';
  const seconds = session ? Math.max(0, Math.floor((session.expiresAt - now) / 1000)) : 0;
  const secure = isTls ? '; Secure' : '';
  return `${sessionCookie}=${value}; Max-Age=${seconds}; Path=/admin; HttpOnly; SameSite=Strict${secure}`;
}
