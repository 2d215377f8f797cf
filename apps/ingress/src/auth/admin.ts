import { createHash, timingSafeEqual } from 'node:crypto';

/** The admin of the config. `passwordSha256`: hex. */
export type Admin = { readonly user: string; readonly passwordSha256: string };

/** Whether basic credentials are the admin's of the config. */
export function isAdmin(authorization: string | undefined, admin: Admin): boolean {
  const encoded = /^Basic\s+(\S+)\s*$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return false;
  const [user = '', ...password] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
  return isPassword({ user, password: password.join(':') }, admin);
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
