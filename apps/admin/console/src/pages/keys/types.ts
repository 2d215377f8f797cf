/* `GET /admin/keys` (docs/operating.md, API keys). */

export type Priority = 'high' | 'normal' | 'low';

export type Limits = {
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  concurrent?: number;
};

export type Budget = {
  day?: number;
  month?: number;
  tokensPerDay?: number;
  tokensPerMonth?: number;
};

export type BudgetUse = {
  per: 'day' | 'month';
  unit: 'USD' | 'tokens';
  limit: number;
  spent: number;
  /** By requests under way. */
  reserved: number;
  /** Their cost is in none of the sums. */
  unpriced_requests?: number;
  renews_at: string;
  confirmed_at: string | null;
};

export type Key = {
  id: string;
  models: string[];
  ips: string[];
  priority: Priority;
  weight: number;
  debug: boolean;
  limits: Limits | null;
  budget: Budget | null;
  source: 'config' | 'api';
  status: 'valid' | 'expired' | 'revoked' | 'shadowed';
  created_at: string | null;
  expires_at: string | null;
  revoked_at: string | null;
  secrets: { created_at: string | null; valid_until: string | null }[];
  budget_use: BudgetUse[];
};

/** The answer of a creation or a rotation. */
export type KeyWithSecret = Key & { secret: string };
