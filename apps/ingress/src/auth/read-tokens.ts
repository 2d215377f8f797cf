import { createHmac, timingSafeEqual } from 'node:crypto';
import { addressFilter } from './addresses.ts';
import type { Key, Principal } from './api-keys.ts';

/*
 * A token permits a browser's EventSource, which cannot send a key, to read one stream. It is valid for one
 * id, on the account of the key that created it, until it expires, and for reading only. It is signed with
 * the digest of that key, which all ingresses have, so it needs no store and becomes invalid with the key.
 */

export type ReadTokens = {
  /** `expiresAt`: seconds since the epoch. Undefined for a key that is not in the config. */
  sign(keyId: string, id: string, expiresAt: number): string | undefined;
  verify(
    token: string,
    asked: { id: string; address: string; now: number },
  ): Principal | 'unknown' | 'expired' | 'address';
};

/** Binds the signing secret to this use: the digest of a key alone must not be one. */
const purpose = 'millrace read token 1';

/** Version, key id, seconds since the epoch, signature. */
const tokenPattern = /^1\.([\w-]+)\.(\d{1,12})\.([\w-]{43})$/;

export function createReadTokens(keys: readonly Key[]): ReadTokens {
  const byId = new Map(
    keys.map(({ id, secretSha256, ips }) => [
      id,
      {
        secret: createHmac('sha256', Buffer.from(secretSha256, 'hex')).update(purpose).digest(),
        allows: ips.length === 0 ? () => true : addressFilter(ips),
      },
    ]),
  );
  const signatureOf = (secret: Buffer, id: string, expiresAt: number): Buffer =>
    createHmac('sha256', secret).update(`${id}\n${expiresAt}`).digest();

  return {
    sign(keyId, id, expiresAt) {
      const key = byId.get(keyId);
      if (!key) return undefined;
      const name = Buffer.from(keyId).toString('base64url');
      return `1.${name}.${expiresAt}.${signatureOf(key.secret, id, expiresAt).toString('base64url')}`;
    },
    verify(token, { id, address, now }) {
      const [, name = '', expiry = '', signature = ''] = tokenPattern.exec(token) ?? [];
      const keyId = Buffer.from(name, 'base64url').toString('utf8');
      const key = byId.get(keyId);
      if (!key) return 'unknown';
      const expected = signatureOf(key.secret, id, Number(expiry));
      const found = Buffer.from(signature, 'base64url');
      if (found.length !== expected.length || !timingSafeEqual(found, expected)) return 'unknown';
      if (Number(expiry) * 1000 <= now) return 'expired';
      if (!key.allows(address)) return 'address';
      return { keyId, models: [], admin: false };
    },
  };
}
