import { writeFileSync } from 'node:fs';
import { providerLines, wildcardLines } from './environment-providers.ts';
import type { EnvironmentProvider } from './environment-providers.ts';
import { simulatedModelLines } from './simulated.ts';

/** Writes the config of a start without one, for users to copy and change. It names variables, and has no value of one. */
export function writeOwnConfig(file: string, providers: readonly EnvironmentProvider[]): void {
  writeFileSync(file, `${ownConfig(providers).join('\n')}\n`, { mode: 0o600 });
}

const ownConfig = (providers: readonly EnvironmentProvider[]): string[] => [
  '# Written by npm start, which was given no config, and anew at every start; copy it to change it. The providers simulated and',
  '# simulated-backup are built in; the others are those whose keys were in the environment.',
  '# POST /admin/chaos, and the console, may kill workers and break off answers of the simulated providers.',
  'chaos: true',
  ...(providers.length > 0 ? ['providers:', ...providerLines(providers)] : []),
  'models:',
  ...simulatedModelLines(),
  ...wildcardLines(providers),
];
