import { createHash, timingSafeEqual } from 'node:crypto';

/** The admin of the config. `passwordSha256`: hex. */
export type Admin = { readonly user: string; readonly passwordSha256: string };

/** The user and the password of basic credentials; undefined for any other text. */
export function basicOf(
  authorization: string | undefined,
): { user: string; password: string } | undefined {
  const encoded = /^Basic\s+(\S+)\s*$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Compares digests, in constant time. */
export function isPassword(shown: { user: string; password: string }, admin: Admin): boolean {
  const rightUser = timingSafeEqual(sha256(shown.user), sha256(admin.user));
  const rightPassword = timingSafeEqual(
    sha256(shown.password),
    Buffer.from(admin.passwordSha256, 'hex'),
  );
  return rightUser && rightPassword;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();
