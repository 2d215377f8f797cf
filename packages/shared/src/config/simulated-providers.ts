import { isJsonObject } from '../domain/json.ts';

/**
 * Simulated providers that a config can name without defining them. `npm start` runs them and passes their URLs to
 * its processes in these variables; elsewhere the operator sets the variables. A provider that the config defines
 * under such a name takes precedence.
 */
export const builtInProviders: Readonly<Record<string, string>> = {
  simulated: 'MILLRACE_SIMULATED_URL',
  'simulated-backup': 'MILLRACE_SIMULATED_BACKUP_URL',
};

/** The URL in processes that do not call the provider. It is the discard port, where no server answers. */
const nowhere = 'http://127.0.0.1:9';

export type BuiltIn = {
  /** The file's data, with those providers in it. */
  readonly value: unknown;
  /** Built-in providers whose URL is not in the environment. */
  readonly missing: readonly string[];
};

/** Adds the built-in providers that a target of the file names. Skips values of the wrong form. */
export function withBuiltIn(file: unknown, env: NodeJS.ProcessEnv): BuiltIn {
  if (!isJsonObject(file) || !isJsonObject(file['models'])) return { value: file, missing: [] };
  const { providers = {}, models } = file;
  if (!isJsonObject(providers)) return { value: file, missing: [] };
  const named = new Set(Object.values(models).flatMap(providersOf));
  const used = Object.entries(builtInProviders).filter(
    ([name]) => named.has(name) && !Object.hasOwn(providers, name),
  );
  if (used.length === 0) return { value: file, missing: [] };
  const added = used.map(([name, variable]) => [
    name,
    { api: 'openai', baseUrl: `${env[variable] || nowhere}/v1`, simulated: true },
  ]);
  return {
    value: { ...file, providers: { ...providers, ...Object.fromEntries(added) } },
    missing: used.filter(([, variable]) => !env[variable]).map(([name]) => name),
  };
}

function providersOf(model: unknown): unknown[] {
  const targets = isJsonObject(model) ? model['targets'] : undefined;
  return Array.isArray(targets)
    ? targets.map((target: unknown) => (isJsonObject(target) ? target['provider'] : undefined))
    : [];
}

/** Why a worker cannot call the provider. */
export const notRunning = (name: string): string =>
  `the provider ${name} is built into npm start; elsewhere start it (node apps/simulator/src/main.ts --port 9100) ` +
  `and set ${builtInProviders[name] ?? ''}=http://HOST:9100`;
