import { isJsonObject } from '../domain/json.ts';

/**
 * Providers that a config can name without having them: simulated ones. `npm start` runs them and tells its
 * processes by these variables where they are; elsewhere they are set by hand. A provider of the config's
 * own with such a name is that one.
 */
export const builtInProviders: Readonly<Record<string, string>> = {
  simulated: 'MILLRACE_SIMULATED_URL',
  'simulated-backup': 'MILLRACE_SIMULATED_BACKUP_URL',
};

/** Stands for the URL where nothing is asked of the provider. The port (discard) answers nothing. */
const nowhere = 'http://127.0.0.1:9';

export type BuiltIn = {
  /** The file's data, with those providers in it. */
  readonly value: unknown;
  /** Those of them of which the environment does not say where they are. */
  readonly missing: readonly string[];
};

/** Adds the built-in providers that some target of the file names. Passes over what has the wrong form. */
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
    { api: 'openai', baseUrl: `${env[variable] || nowhere}/v1` },
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

/** Why a worker cannot ask them. */
export const notRunning = (name: string): string =>
  `the provider ${name} is built into npm start; elsewhere run one (node apps/simulator/src/main.ts --port 9100) ` +
  `and set ${builtInProviders[name] ?? ''}=http://HOST:9100`;
