import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { deepFreeze } from './deep-freeze.ts';
import { noDatabase } from './fields.ts';
import { builtInProviders, notRunning } from './simulated-providers.ts';
import { readFlags, usage, type FlagValues } from './flags.ts';
import { readConfigText, type FileContents } from './read-file.ts';
import { fileSchema, type ParsedFile } from './schema.ts';
import { settings } from './setting-defaults.ts';
import {
  ConfigError,
  HelpRequested,
  type Config,
  type ProviderConfig,
  type Role,
  type StartOptions,
} from './types.ts';
import { isLoopbackHost, onlyLoopbackServed } from './warnings.ts';

export type Loaded = {
  readonly config: Config;
  readonly options: StartOptions;
  /** Settings that are allowed but probably a mistake, each with its place and without secrets. */
  readonly warnings: readonly string[];
  /** The text of the config file; empty without one. */
  readonly text: string;
};

/**
 * Reads flags, environment and config file into one frozen configuration.
 *
 * Throws ConfigError with every problem found (secrets are never in it), and HelpRequested when
 * `--help` is among the arguments. `argv` is without the program's own two.
 */
export function loadConfig({
  argv,
  env,
  role,
}: {
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
  role: Role;
}): Loaded {
  const flags = readFlags(argv, env, role);
  if (flags.help) throw new HelpRequested(usage(role));
  const { contents, text } = readContents(flags, env, role);
  const problems = [...flags.problems, ...problemsOf(contents, role)];
  if (contents.kind === 'broken' || problems.length > 0) throw new ConfigError(problems);

  const configFile = flags.config === undefined ? undefined : resolve(flags.config);
  const config = assemble(contents.file, flags, dirname(configFile ?? '.'));
  const keepsLedger = (flags.database ?? contents.file.database?.url) !== noDatabase;
  // A start keeps one in its own folder, which it has with an embedded Redis.
  const hasOwn = role === 'start' && keepsLedger && config.redis.url === undefined;
  const hasLedger = config.database !== undefined || hasOwn;
  if (!hasLedger) {
    const unledgered = budgetsWithoutLedger(config, contents);
    if (unledgered.length > 0) throw new ConfigError(unledgered);
  }
  const options: StartOptions = {
    workers: flags.workers ?? settings.workers.default,
    ingresses: flags.ingresses ?? settings.ingresses.default,
    keepsLedger,
    dataDir: resolve(flags.data ?? settings.data.default),
    simulated: contents.missing,
    ...(configFile === undefined ? {} : { configFile }),
  };
  if (config.listen.port + options.ingresses - 1 > settings['listen.port'].max) {
    throw new ConfigError([
      `--ingresses: there are no ${options.ingresses} ports from ${config.listen.port} on`,
    ]);
  }
  return {
    config,
    options,
    text,
    warnings: [...contents.warnings, ...reachWarnings(config, flags, contents)],
  };
}

/** loadConfig for a main.ts: prints the help and exits 0, or the problems and exits 78 (EX_CONFIG). */
export function loadConfigOrExit(input: Parameters<typeof loadConfig>[0]): Loaded {
  try {
    return loadConfig(input);
  } catch (error) {
    if (error instanceof HelpRequested) {
      process.stdout.write(error.message);
      process.exit(0);
    }
    if (error instanceof ConfigError) {
      process.stderr.write(
        `${error.problems.map((problem) => `millrace: ${problem}`).join('\n')}\n`,
      );
      process.exit(78);
    }
    throw error;
  }
}

function readContents(
  flags: FlagValues,
  env: NodeJS.ProcessEnv,
  role: Role,
): { contents: FileContents; text: string } {
  if (flags.config !== undefined) {
    const text = readText(flags.config);
    if ('content' in text) {
      const contents = readConfigText(text.content, flags.config, env);
      return { contents, text: text.content };
    }
    return { contents: { kind: 'broken', problems: [text.problem], findings: [] }, text: '' };
  }
  if (role === 'start') {
    const file = fileSchema.parse({});
    const missing = Object.keys(builtInProviders);
    const found = { missing, warnings: [], doubts: [] };
    const contents = { kind: 'read', file, ...found, placeOf: () => 'listen.host' } as const;
    return { contents, text: '' };
  }
  const problem =
    'a config file is needed: --config FILE or MILLRACE_CONFIG (only npm start runs without one)';
  const problems = flags.problems.length > 0 ? [] : [problem];
  return { contents: { kind: 'broken', problems, findings: [] }, text: '' };
}

function problemsOf(contents: FileContents, role: Role): readonly string[] {
  if (contents.kind === 'broken') return contents.problems;
  return role === 'worker' ? contents.missing.map(notRunning) : [];
}

/** Warns if a server listens beyond loopback but rejects all other machines. */
function reachWarnings(
  { listen, keys }: Config,
  flags: FlagValues,
  { placeOf }: Extract<FileContents, { kind: 'read' }>,
): string[] {
  if (keys !== undefined || isLoopbackHost(listen.host)) return [];
  const place = flags.host === undefined ? placeOf(['listen', 'host']) : '--host';
  return [`${place}: ${onlyLoopbackServed(listen.host)}`];
}

/** Budgets are counted by the ledger. */
function budgetsWithoutLedger(
  { keys = [] }: Config,
  { placeOf }: Extract<FileContents, { kind: 'read' }>,
): string[] {
  return keys.flatMap(({ budget }, index) =>
    budget === undefined ? [] : [`${placeOf(['keys', index, 'budget'])}: ${budgetNeedsLedger}`],
  );
}

export const budgetNeedsLedger =
  'a budget needs the ledger, and no database is configured; set database.url (or DATABASE_URL)';

function readText(file: string): { content: string } | { problem: string } {
  try {
    return { content: readFileSync(file, 'utf8') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const reasons: Record<string, string> = {
      ENOENT: 'there is no such file',
      EACCES: 'no permission to read it',
      EISDIR: 'it is a folder',
    };
    return { problem: `${file}: the config file cannot be read: ${reasons[code] ?? code}` };
  }
}

/** The config of a file, with what flags and variables override. */
export function assemble(file: ParsedFile, flags: FlagValues, folder: string): Config {
  const { listen, redis, retention, drainTimeout, drainDelay, providers, models, ...others } = file;
  const { database: _, debugLog, ...rest } = others;
  const url = flags.redis ?? redis.url;
  const database = databaseOf(file.database, flags.database, folder);
  return deepFreeze({
    ...rest,
    listen: {
      ...listen,
      host: flags.host ?? listen.host,
      port: flags.port ?? listen.port,
      ...(listen.tls && {
        tls: { cert: resolve(folder, listen.tls.cert), key: resolve(folder, listen.tls.key) },
      }),
    },
    adminPort: flags.adminPort ?? settings.adminPort.default,
    healthPort: flags.healthPort ?? settings.healthPort.default,
    redis: url === undefined ? {} : { url },
    ...(database && { database }),
    ...(debugLog && { debugLog: { ...debugLog, dir: resolve(folder, debugLog.dir) } }),
    retentionMs: retention,
    drainTimeoutMs: drainTimeout,
    drainDelayMs: drainDelay,
    providers: withoutPrototype(withPaths(providers, folder)),
    models: withoutPrototype(models),
  });
}

/** The path of a SQLite file is relative to the config file's folder; that of the flag to the working directory. */
function databaseOf(
  database: ParsedFile['database'],
  flag: string | undefined,
  folder: string,
): Config['database'] {
  const from = (base: string, url: string): string =>
    url.startsWith(sqlite) ? sqlite + resolve(base, url.slice(sqlite.length)) : url;
  const kept = {
    retentionMs: database?.retentionMs ?? settings['database.retention'].default,
    auditRetentionMs: database?.auditRetentionMs ?? settings['database.auditRetention'].default,
  };
  const given = flag ?? database?.url;
  if (given === noDatabase) return undefined;
  if (flag !== undefined) return { url: from('.', flag), ...kept };
  return database && { url: from(folder, database.url), ...kept };
}

const sqlite = 'sqlite:';

/** Paths of PEM files are relative to the config file's folder. */
function withPaths(
  providers: Readonly<Record<string, ProviderConfig>>,
  folder: string,
): Record<string, ProviderConfig> {
  return Object.fromEntries(
    Object.entries(providers).map(([name, { tls, ...rest }]) => {
      const { ca, cert, key, ...others } = tls;
      const files = Object.entries({ ca, cert, key }).flatMap(([file, path]) =>
        path === undefined ? [] : [[file, resolve(folder, path)]],
      );
      return [name, { ...rest, tls: { ...others, ...Object.fromEntries(files) } }];
    }),
  );
}

function withoutPrototype<T>(record: Record<string, T>): Record<string, T> {
  return Object.assign(Object.create(null) as Record<string, T>, record);
}
