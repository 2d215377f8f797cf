import type { KeyConfig } from '@millrace/shared/config';
import { limitsAt } from '@millrace/shared/domain/budget';
import type { Budget } from '@millrace/shared/domain/budget';
import type { BudgetState } from '@millrace/shared/store/budgets/port';
import type { CreatedKey } from '@millrace/shared/store/api-keys/port';

/* Keys as the admin API shows them; never a secret or its digest. */

type Settings = Omit<KeyConfig, 'secretsSha256'>;

export type KeyView = ReturnType<typeof settingsView>;

const settingsView = ({ id, models, ips, priority, weight, limits, budget, debug }: Settings) => ({
  id,
  models,
  ips,
  priority,
  weight,
  debug: debug === true,
  limits: limits ?? null,
  budget: budget ?? null,
});

export type UseView = { budget_use: ReturnType<typeof budgetUseView> };

/** What was used of each amount of a budget in the present day or month. Money is in USD, with up to six decimals. */
export function budgetUseView(budget: Budget | null, state: BudgetState | undefined, now: number) {
  if (!budget) return [];
  return limitsAt(budget, now).map(({ unit, span, period, limit, renewsAt }) => {
    const { spent, reserved } = state?.useOf(unit, period) ?? { spent: 0, reserved: 0 };
    const amount = (value: number) => (unit === 'usd' ? Math.round(value / 1000) / 1e6 : value);
    return {
      per: span,
      unit: unit === 'usd' ? 'USD' : 'tokens',
      limit: amount(limit),
      spent: amount(spent),
      reserved: amount(reserved),
      // Their cost is in none of the sums.
      ...(unit === 'usd' && { unpriced_requests: state?.unpriced(period) ?? 0 }),
      renews_at: time(renewsAt),
      confirmed_at: timeOrNull(state?.confirmedAt),
    };
  });
}

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
