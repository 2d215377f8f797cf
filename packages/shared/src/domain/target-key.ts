import type { Target } from './request.ts';

/**
 * A target as one text, `provider/model`, for maps, shared states and leases. A `/` in a provider's name is
 * written as `%2F`, so that no two targets have the same key.
 */
export const targetKey = ({ provider, model }: Target): string =>
  `${provider.includes('/') || provider.includes('%') ? escape(provider) : provider}/${model}`;

export function targetOfKey(key: string): Target {
  const slash = key.indexOf('/');
  const provider = key.slice(0, slash).replaceAll('%2F', '/').replaceAll('%25', '%');
  return { provider, model: key.slice(slash + 1) };
}

const escape = (name: string): string => name.replaceAll('%', '%25').replaceAll('/', '%2F');
