import { serverNow } from '../../api/server-clock.ts';
import { ago, count } from '../../ui/format.ts';
import type { ConfiguredTargets, KeyLimit, Pool, Target } from './types.ts';

/* What the page says of targets and pools, in words. */

/** Open ones first, then those that are not closed, by name. */
export const worstFirst = (targets: readonly Target[]): Target[] =>
  targets.toSorted((one, other) => rank(one) - rank(other) || compare(one.target, other.target));

const rank = ({ state }: Target): number => {
  const at = ['open', 'half-open', 'recovering'].indexOf(state ?? '');
  return at === -1 ? 3 : at;
};

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

/** Why a target is not closed; of a closed one, its last fault. Empty: it never had one. */
export function whyOf({ reason, last_fault: fault }: Target, now = serverNow()): string {
  if (reason !== null) return reason;
  if (typeof fault !== 'object' || fault === null) return '';
  const { code, message, at } = fault as { code?: unknown; message?: unknown; at?: unknown };
  const words = [code, message].filter((text) => typeof text === 'string').join(': ');
  if (words === '') return '';
  return `${typeof at === 'number' ? `${ago(at * 1000, now)}: ` : 'last fault: '}${words}`;
}

/** What the operator confirms before a target is opened. */
export function openQuestion(target: Target, all: readonly Target[]): string {
  const left = target.aliases.filter(
    (alias) =>
      !all.some(
        (one) =>
          one.target !== target.target && one.aliases.includes(alias) && one.state !== 'open',
      ),
  );
  const rest = `No request goes to ${target.target} until an operator closes it again.`;
  if (left.length === 0) return `${rest} Its models have other targets.`;
  return `${rest} No other target is left for ${left.join(', ')}: requests for ${left.length === 1 ? 'it' : 'them'} wait, then fail.`;
}

/** `5,000 requests, 2M tokens a minute` of the config; empty: no limits. */
export function limitsOf(target: Target, config: ConfiguredTargets | undefined): string {
  for (const { targets } of Object.values(config?.config.models ?? {})) {
    const found = targets.find(
      ({ provider, model }) => provider === target.provider && model === target.model,
    );
    const { requestsPerMinute, tokensPerMinute, concurrent } = found?.limits ?? {};
    const perMinute = [
      ...(requestsPerMinute === undefined ? [] : [`${count(requestsPerMinute)} requests`]),
      ...(tokensPerMinute === undefined ? [] : [`${count(tokensPerMinute)} tokens`]),
    ].join(', ');
    const parts = [
      ...(perMinute === '' ? [] : [`${perMinute} a minute`]),
      ...(concurrent === undefined ? [] : [`${count(concurrent)} at a time`]),
    ];
    if (parts.length > 0) return parts.join(', ');
  }
  return '';
}

/** `gpt-4o: 12 of 500 requests, 0 of 30K tokens left` as the provider's own headers say it; empty: they say nothing. */
export function keyLimitText(limit: KeyLimit): string {
  const parts = (['requests', 'tokens'] as const).flatMap((name) => {
    const unit = limit[name];
    if (!unit || (unit.remaining === null && unit.limit === null)) return [];
    if (unit.remaining === null) return [`at most ${count(unit.limit)} ${name}`];
    const of = unit.limit === null ? '' : ` of ${count(unit.limit)}`;
    return [`${count(unit.remaining)}${of} ${name} left`];
  });
  if (parts.length > 0) return `${limit.model}: ${parts.join(', ')}`;
  return limit.closed_until_at === null ? '' : `${limit.model}: at its limit`;
}

export type Provider = { name: string; pools: readonly Pool[]; active: number; limit: number };

/** The pools of all workers by provider, in the order of the answer. */
export function byProvider(pools: readonly Pool[]): Provider[] {
  const found = new Map<string, Pool[]>();
  for (const pool of pools) {
    found.set(pool.provider, [...(found.get(pool.provider) ?? []), pool]);
  }
  return [...found].map(([name, own]) => ({
    name,
    pools: own,
    active: own.reduce((total, { active }) => total + active, 0),
    limit: own.reduce((total, { limit }) => total + limit, 0),
  }));
}
