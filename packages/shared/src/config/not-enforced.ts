import { printPath } from './read-file.ts';
import type { Config } from './types.ts';

/**
 * What the config file sets itself, and this version reads and checks but does not act on yet: one
 * sentence each, fit for a log. Whoever makes one of these work takes its line out here.
 */
export function notEnforcedYet(config: Config): string[] {
  const explicit = new Set(config.explicit);
  const fields = [...keyFields(config), ...modelFields(config)];
  return fields
    .map(({ path, meaning }) => ({ field: printPath(path), meaning }))
    .filter(({ field }) => explicit.has(field))
    .map(({ field, meaning }) => `${field} is accepted but not acted on yet: ${meaning}`);
}

type Pending = { readonly path: readonly (string | number)[]; readonly meaning: string };

function keyFields({ keys = [] }: Config): Pending[] {
  return keys.flatMap((_key, index) => [
    { path: ['keys', index, 'limits'], meaning: 'no rate or number of requests is limited' },
  ]);
}

function modelFields({ models }: Config): Pending[] {
  return Object.entries(models)
    .filter(([, { strategy }]) => strategy !== 'failover')
    .map(([alias]) => ({
      path: ['models', alias, 'strategy'],
      meaning: 'targets are tried in their order (failover)',
    }));
}
