import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether basic credentials are the admin's of the config. Compares digests, in constant time. */
export function isAdmin(
  authorization: string | undefined,
  admin: { user: string; passwordSha256: string },
): boolean {
  const encoded = /^Basic\s+(\S+)\s*$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return false;
  const [user = '', ...password] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
  const rightUser = timingSafeEqual(sha256(user), sha256(admin.user));
  const rightPassword = timingSafeEqual(
    sha256(password.join(':')),
    Buffer.from(admin.passwordSha256, 'hex'),
  );
  return rightUser && rightPassword;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();
