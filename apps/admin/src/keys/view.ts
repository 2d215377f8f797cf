import type { KeyConfig } from '@millrace/shared/config';
import type { CreatedKey } from '@millrace/shared/store/api-keys/port';

/* Keys as the admin API shows them; never a secret or its digest. */

type Settings = Omit<KeyConfig, 'secretsSha256'>;

const settingsView = ({ id, models, ips, priority, weight, limits }: Settings) => ({
  id,
  models,
  ips,
  priority,
  weight,
  limits: limits ?? null,
});

export const configKeyView = (key: KeyConfig) => ({
  ...settingsView(key),
  source: 'config',
  status: 'valid',
  created_at: null,
  expires_at: null,
  revoked_at: null,
  revoked: false,
  secrets: key.secretsSha256.map(() => ({ created_at: null, valid_until: null })),
});

/** `isShadowed`: a key of the config has the same id, so this one opens nothing as long as that one is there. */
export const createdKeyView = (key: CreatedKey, now: number, isShadowed = false) => ({
  ...settingsView(key),
  source: 'api',
  status: statusOf(key, now, isShadowed),
  created_at: time(key.createdAt),
  expires_at: timeOrNull(key.expiresAt),
  revoked_at: timeOrNull(key.revokedAt),
  revoked: key.revokedAt !== undefined,
  secrets: key.secrets
    .filter(({ until = Infinity }) => now < until)
    .map(({ createdAt, until }) => ({
      created_at: time(createdAt),
      valid_until: timeOrNull(until),
    })),
});

const statusOf = (
  { revokedAt, expiresAt = Infinity }: CreatedKey,
  now: number,
  isShadowed: boolean,
): string => {
  if (revokedAt !== undefined) return 'revoked';
  if (now >= expiresAt) return 'expired';
  return isShadowed ? 'shadowed' : 'valid';
};

const time = (ms: number): string => new Date(ms).toISOString();
const timeOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : time(ms));
