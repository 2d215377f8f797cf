import type { CreatedKey, KeySecret } from '@millrace/shared/store/api-keys/port';
import type { KeySettings } from '@millrace/shared/config';

/* How keys change; pure. Times are milliseconds since the epoch. */

/** Most secrets of a key that are valid at a time. */
export const maxSecrets = 5;

export type NewKey = { id: string; settings: KeySettings; expiresAt: number | undefined };

/** `expiresAt: undefined`: stays as it is; `null`: the key does not expire any more. */
export type KeyChange = { settings: Partial<KeySettings>; expiresAt?: number | null | undefined };

export function createKey(
  { id, settings, expiresAt }: NewKey,
  sha256: string,
  now: number,
): CreatedKey {
  const secrets = [{ sha256, createdAt: now }];
  return {
    ...settings,
    id,
    secrets,
    createdAt: now,
    ...(expiresAt !== undefined && { expiresAt }),
  };
}

export function changeKey(
  key: CreatedKey,
  { settings, expiresAt }: KeyChange,
  now: number,
): CreatedKey {
  const { expiresAt: present, ...rest } = key;
  const expiry = expiresAt === undefined ? present : (expiresAt ?? undefined);
  const secrets = validSecrets(key, now);
  return { ...rest, ...settings, secrets, ...(expiry !== undefined && { expiresAt: expiry }) };
}

/** The older secrets end `graceMs` from now, or when they would have ended anyway. */
export function rotateKey(
  key: CreatedKey,
  sha256: string,
  { now, graceMs }: { now: number; graceMs: number },
): CreatedKey | 'too_many_secrets' {
  const until = now + graceMs;
  const older = graceMs === 0 ? [] : validSecrets(key, now);
  if (older.length >= maxSecrets) return 'too_many_secrets';
  const ending = older.map((secret) => ({
    ...secret,
    until: Math.min(secret.until ?? until, until),
  }));
  return { ...key, secrets: [...ending, { sha256, createdAt: now }] };
}

/** The key keeps its secrets, so that an ingress can tell a client that still has one why it refuses it. */
export const revokeKey = (key: CreatedKey, now: number): CreatedKey => ({ ...key, revokedAt: now });

const validSecrets = ({ secrets }: CreatedKey, now: number): KeySecret[] =>
  secrets.filter(({ until = Infinity }) => now < until);
