import { createHmac, timingSafeEqual } from 'node:crypto';
import { addressFilter } from './addresses.ts';
import { endOf } from './api-keys.ts';
import type { EndOfKey, Key, Principal, Secret } from './api-keys.ts';

/*
 * A token permits a browser's EventSource, which cannot send a key, to read one stream. It is valid for one
 * id, on the account of the key that created it, until it expires, and for reading only. It is signed with
 * the digest of a secret of that key, which all ingresses have, so it needs no store and becomes invalid with the key, or
 * with that secret.
 */

export type ReadTokens = {
  /**
   * `expiresAt`: seconds since the epoch. `secretSha256`: of the secret of this key that was shown, with which the token ends;
   * absent: the newest one. Undefined for a key or secret that is unknown or not valid.
   */
  sign(keyId: string, id: string, expiresAt: number, secretSha256?: string): string | undefined;
  verify(
    token: string,
    asked: { id: string; address: string; now: number },
  ): Principal | 'unknown' | 'expired' | 'address' | EndOfKey;
};

/** Binds the signing secret to this use: the digest of a key alone must not be one. */
const purpose = 'millrace read token 1';

/** Version, key id, seconds since the epoch, signature. */
const tokenPattern = /^1\.([\w-]+)\.(\d{1,12})\.([\w-]{43})$/;

/** `keys`: the keys by their ids, as they are at each call. */
export function createReadTokens(keys: Pick<ReadonlyMap<string, Key>, 'get'>): ReadTokens {
  const signatureOf = ({ sha256 }: Secret, id: string, expiresAt: number): Buffer => {
    const secret = createHmac('sha256', Buffer.from(sha256, 'hex')).update(purpose).digest();
    return createHmac('sha256', secret).update(`${id}\n${expiresAt}`).digest();
  };

  return {
    sign(keyId, id, expiresAt, secretSha256) {
      const key = keys.get(keyId);
      const signer =
        secretSha256 === undefined
          ? key?.secrets.at(-1)
          : key?.secrets.find(({ sha256 }) => sha256 === secretSha256);
      if (!key || !signer || endOf(key, signer, Date.now())) return undefined;
      const name = Buffer.from(keyId).toString('base64url');
      return `1.${name}.${expiresAt}.${signatureOf(signer, id, expiresAt).toString('base64url')}`;
    },
    verify(token, { id, address, now }) {
      const [, name = '', expiry = '', signature = ''] = tokenPattern.exec(token) ?? [];
      const keyId = Buffer.from(name, 'base64url').toString('utf8');
      const key = keys.get(keyId);
      const found = Buffer.from(signature, 'base64url');
      const signer = key?.secrets.find((secret) => {
        const expected = signatureOf(secret, id, Number(expiry));
        return found.length === expected.length && timingSafeEqual(found, expected);
      });
      if (!key || !signer) return 'unknown';
      const ended = endOf(key, signer, now);
      if (ended) return ended;
      if (Number(expiry) * 1000 <= now) return 'expired';
      if (key.ips.length > 0 && !addressFilter(key.ips)(address)) return 'address';
      return { keyId, models: [], admin: false, secretSha256: signer.sha256 };
    },
  };
}
