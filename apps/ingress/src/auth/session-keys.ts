import { hkdfSync } from 'node:crypto';
import { within } from '../store-timeout.ts';
import type { Admin } from './admin.ts';

/*
 * The key that signs sessions. It is derived from the admin's user and password, so that another password ends all sessions, and
 * from a random secret of the fleet in Redis, so that nobody makes up a session from the config.
 */

export type SessionKeys = {
  /** Undefined: the secret was never read, because Redis did not answer. */
  keyOf(admin: Admin): Buffer | undefined;
  /** Reads the secret anew: it may have been lost with Redis' data. Rejects with StoreSilent, or as Redis does. */
  refresh(): Promise<void>;
  /** As `refresh`, at most once a second, whoever asks. Never rejects. */
  refreshRarely(): Promise<void>;
};

const rarelyMs = 1000;

export function createSessionKeys(options: {
  readSecret(): Promise<string>;
  onError(error: unknown): void;
  now?(): number;
}): SessionKeys {
  const { readSecret, onError, now = Date.now } = options;
  let secret: string | undefined;
  let keys = new WeakMap<Admin, Buffer>();
  let refreshedAt = -Infinity;

  async function refresh(): Promise<void> {
    refreshedAt = now();
    const found = await within(readSecret());
    if (found === secret) return;
    secret = found;
    keys = new WeakMap();
  }

  return {
    keyOf(admin) {
      if (secret === undefined) return undefined;
      let key = keys.get(admin);
      if (!key) {
        key = sessionKey(admin, secret);
        keys.set(admin, key);
      }
      return key;
    },
    refresh,
    async refreshRarely() {
      if (now() - refreshedAt < rarelyMs) return;
      await refresh().catch(onError);
    },
  };
}

export function sessionKey({ user, passwordSha256 }: Admin, secret: string): Buffer {
  const input = Buffer.concat([Buffer.from(passwordSha256, 'hex'), Buffer.from(secret)]);
  return Buffer.from(hkdfSync('sha256', input, user, 'millrace session', 32));
}
