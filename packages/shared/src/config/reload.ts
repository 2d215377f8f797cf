import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { deepFreeze } from './deep-freeze.ts';
import { builtInProviders } from './simulated-providers.ts';
import { ConfigError } from './types.ts';
import type { Config, ModelConfig, ProcessLimits } from './types.ts';

/*
 * Which fields of a config a running process can take over. Everything that a request reads when it begins can change;
 * what a process has built at its start (listeners, connections, the layout in Redis) needs a restart.
 */

/** These sections are read anew for each request; `limits` in part. */
const reloadable = [
  'admin',
  'budgets',
  'keys',
  'providers',
  'models',
] as const satisfies readonly (keyof Config)[];

/** The other limits are part of a listener, a timer or a buffer that a process makes at its start. */
const reloadableLimits: ReadonlySet<keyof ProcessLimits> = new Set([
  'requestValues',
  'streamLogBytes',
  'readerBufferBytes',
  'socketFrames',
  'connectionsPerKey',
  'connectionsPerAddress',
  'requestBodiesBytes',
  'queueJobs',
  'queueBytes',
  'queueWaitMs',
  'queueMemory',
  'waiting',
]);

export type Reload = {
  /** The config to run with: the new one, with the fields that need a restart as they were at the start. */
  readonly config: Config;
  /** Fields, as the file calls them, whose change takes effect with a restart only. */
  readonly needsRestart: readonly string[];
};

/**
 * `started`: the config that the process started with. `loaded`: the file as it is now, validated. Throws a ConfigError if a key
 * gets a budget and the process has no ledger, which it gets by a restart only: no control plane would settle what is reserved.
 */
export function reload(started: Config, loaded: Config): Reload {
  if (started.database === undefined) refuseBudgets(loaded);
  const needsRestart: string[] = [];
  const config: Record<string, unknown> = {};
  const names = new Set([...Object.keys(started), ...Object.keys(loaded)]) as Set<keyof Config>;
  for (const name of names) {
    const isReloadable = reloadable.some((one) => one === name) || name === 'limits';
    const kept = isReloadable ? loaded[name] : started[name];
    if (kept !== undefined) config[name] = kept;
    if (!isReloadable) needsRestart.push(...changes(started[name], loaded[name], name));
  }
  const limits = reloadLimits(started.limits, loaded.limits);
  const models = boundedModels(longestRunMs(started), loaded.models);
  return {
    config: deepFreeze({ ...config, limits: limits.limits, models: models.models } as Config),
    needsRestart: [...needsRestart, ...limits.needsRestart, ...models.needsRestart].sort(),
  };
}

function refuseBudgets({ keys = [] }: Config): void {
  const problems = keys.flatMap(({ id, budget }) =>
    budget === undefined
      ? []
      : [
          `keys: the budget of '${id}' needs the ledger, and this process started without one; restart it`,
        ],
  );
  if (problems.length > 0) throw new ConfigError(problems);
}

function reloadLimits(started: ProcessLimits, loaded: ProcessLimits) {
  const limits: Record<string, number> = {};
  const needsRestart: string[] = [];
  for (const name of Object.keys(loaded) as (keyof ProcessLimits)[]) {
    const isReloadable = reloadableLimits.has(name);
    limits[name] = isReloadable ? loaded[name] : started[name];
    if (!isReloadable && started[name] !== loaded[name]) {
      needsRestart.push(`limits.${fieldName(name)}`);
    }
  }
  return { limits: limits as ProcessLimits, needsRestart };
}

/** A request is kept in Redis for this long: a run that takes longer would lose its log. */
const longestRunMs = ({ models, limits }: Config): number =>
  limits.queueTtlMs + Math.max(0, ...Object.values(models).map(({ timeoutMs }) => timeoutMs));

function boundedModels(mostMs: number, models: Config['models']) {
  const needsRestart: string[] = [];
  const bounded = Object.assign(Object.create(null) as Record<string, ModelConfig>, models);
  for (const [name, model] of Object.entries(models)) {
    if (model.timeoutMs <= mostMs) continue;
    bounded[name] = { ...model, timeoutMs: mostMs };
    needsRestart.push(`models.${name}.timeout`);
  }
  return { models: bounded, needsRestart };
}

/** The fields that differ, as the file calls them; lists count as one field. */
function changes(before: unknown, after: unknown, path: string): string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isSection(before) || !isSection(after)) return [fieldName(path)];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) => changes(before[name], after[name], `${path}.${name}`));
}

const isSection = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A field of `Config` as the file calls it: without its unit. */
const fieldName = (path: string): string => path.replace(/(?:Ms|Bytes)$/, '');

/** What a reload changed, for the log: `models.fast`, `providers.openai`, `keys`, `limits.queueJobs`. */
export function changedParts(before: Config, after: Config): string[] {
  const named = (['models', 'providers'] as const).flatMap((section) => {
    const names = new Set([...Object.keys(before[section]), ...Object.keys(after[section])]);
    return [...names]
      .filter((name) => !isDeepStrictEqual(before[section][name], after[section][name]))
      .map((name) => `${section}.${name}`);
  });
  const whole = (['keys', 'admin', 'budgets'] as const).filter(
    (section) => !isDeepStrictEqual(before[section], after[section]),
  );
  return [...named, ...whole, ...changes(before.limits, after.limits, 'limits')];
}

/** Hexadecimal digits. */
const hashLength = 12;

/**
 * Two processes with the same hash run by the same config. It leaves out what processes of one fleet may have from their own
 * flags and environment: the address to listen on, Redis, the database and the URLs of the simulated providers.
 */
export function hashOf({ listen, providers, ...config }: Config): string {
  const { redis: _redis, database: _database, debugLog, ...own } = config;
  const { adminPort: _port, healthPort: _healthPort, ...rest } = own;
  // The path of the folder may differ between machines.
  const debug = debugLog && { ...debugLog, dir: '' };
  const { host: _host, port: _ownPort, ...shared } = listen;
  const known = Object.entries(providers).map(([name, { baseUrl, ...provider }]) => [
    name,
    Object.hasOwn(builtInProviders, name) ? provider : { ...provider, baseUrl },
  ]);
  const whole = {
    ...rest,
    ...(debug && { debugLog: debug }),
    listen: shared,
    providers: Object.fromEntries(known) as unknown,
  };
  return createHash('sha256').update(canonical(whole)).digest('hex').slice(0, hashLength);
}

/** JSON with sorted names: the order of fields in the file does not matter. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_name, inner: unknown) =>
    isSection(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
