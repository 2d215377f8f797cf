import { createHmac, timingSafeEqual } from 'node:crypto';

/*
 * The session of an operator who has logged in with a browser: a signed cookie, of which no process keeps anything. Every ingress with
 * the same config and the same Redis has the key of the signature (session-keys.ts) and accepts the cookie. A copied cookie is valid until it expires, also after a logout.
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
export function signSession({ startedAt, expiresAt }: Session, key: Buffer): string {
  const signed = `v1.${startedAt.toString(36)}.${expiresAt.toString(36)}`;
  return `${signed}.${signatureOf(signed, key).toString('base64url')}`;
}

/** The verdict on a `Cookie` header, as sent; without a key none is valid. Signatures are compared in constant time. */
export function verifySession(
  cookies: string | undefined,
  key: Buffer | undefined,
  now: number,
): SessionVerdict {
  let verdict: SessionVerdict = { kind: 'absent' };
  for (const value of valuesOf(cookies ?? '')) {
    const one: SessionVerdict = key ? verifyValue(value, key, now) : { kind: 'forged' };
    if (one.kind === 'valid') return one;
    if (verdict.kind !== 'expired') verdict = one;
  }
  return verdict;
}

function verifyValue(value: string, key: Buffer, now: number): SessionVerdict {
  const [, signed = '', startedAt = '', expiresAt = '', signature = ''] = form.exec(value) ?? [];
  const shown = Buffer.from(signature, 'base64url');
  const right = signatureOf(signed, key);
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

const signatureOf = (text: string, key: Buffer): Buffer =>
  createHmac('sha256', key).update(text).digest();

/**
 * The `Set-Cookie` header that hands a browser a session, or takes it away. Scripts cannot read the cookie, and no page of another
 * site makes a browser send it.
 */
export function setCookie(
  session: Session | undefined,
  { key, isTls, now }: { key: Buffer | undefined; isTls: boolean; now: number },
): string {
  const value = session && key ? signSession(session, key) : '';
  const seconds = session ? Math.max(0, Math.floor((session.expiresAt - now) / 1000)) : 0;
  const secure = isTls ? '; Secure' : '';
  return `${sessionCookie}=${value}; Max-Age=${seconds}; Path=/admin; HttpOnly; SameSite=Strict${secure}`;
}
