import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { deepFreeze } from './deep-freeze.ts';
import { noDatabase } from './fields.ts';
import { builtInProviders, notRunning } from './simulated-providers.ts';
import { readFlags, usage, type FlagValues } from './flags.ts';
import { readConfigText, type FileContents, type Finding } from './read-file.ts';
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
  const contents = readContents(flags, env, role);
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

export type Checked = {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** Absent if the text has problems, or if a value from an unknown variable does not fit where it stands. */
  readonly config?: Config;
};

/**
 * Checks a text as if it were the config file of the process with these arguments. A variable of the environment that this
 * process does not have is a warning: the text may be meant for another machine.
 */
export function checkConfigText(
  text: string,
  { argv, env, role }: { argv: readonly string[]; env: NodeJS.ProcessEnv; role: Role },
): Checked {
  const flags = readFlags(argv, env, role);
  const unknown = unknownVariables(text, env);
  const warnings = unknown.map(({ name, line, column }): Finding => ({
    line,
    column,
    field: '',
    message: `the environment variable ${name} is not set here`,
  }));
  const stand = unknown.map(({ name }) => [name, `https://${name}.invalid`]);
  const contents = readConfigText(text, 'config', { ...env, ...Object.fromEntries(stand) });
  if (contents.kind === 'broken') {
    const isOfUnknown = ({ message }: Finding) =>
      unknown.some(({ name }) => message.includes(`\${${name}}`));
    return { problems: contents.findings.filter((one) => !isOfUnknown(one)), warnings };
  }
  const folder = dirname(resolve(flags.config ?? '.'));
  const config = assemble(contents.file, flags, folder);
  const unledgered = config.database ? [] : (config.keys ?? []).filter(({ budget }) => budget);
  if (unledgered.length > 0) {
    const problem = { line: 1, column: 1, field: 'keys', message: budgetNeedsLedger };
    return { problems: [problem], warnings };
  }
  return { problems: [], warnings: [...warnings, ...contents.doubts], config };
}

/** The first place of each. */
function unknownVariables(text: string, env: NodeJS.ProcessEnv) {
  const found = new Map<string, { name: string; line: number; column: number }>();
  for (const { 1: escaped, 2: name = '', index } of text.matchAll(
    /(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g,
  )) {
    if (escaped || env[name] !== undefined || found.has(name)) continue;
    const before = text.slice(0, index).split('\n');
    found.set(name, { name, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 });
    if (found.size >= maxUnknown) break;
  }
  return [...found.values()];
}

/** More variables than any config names. */
const maxUnknown = 1000;

function readContents(flags: FlagValues, env: NodeJS.ProcessEnv, role: Role): FileContents {
  if (flags.config !== undefined) {
    const text = readText(flags.config);
    return 'problem' in text
      ? { kind: 'broken', problems: [text.problem], findings: [] }
      : readConfigText(text.content, flags.config, env);
  }
  if (role === 'start') {
    const file = fileSchema.parse({});
    const missing = Object.keys(builtInProviders);
    const found = { missing, warnings: [], doubts: [] };
    return { kind: 'read', file, ...found, placeOf: () => 'listen.host' };
  }
  const problem =
    'a config file is needed: --config FILE or MILLRACE_CONFIG (only npm start runs without one)';
  return { kind: 'broken', problems: flags.problems.length > 0 ? [] : [problem], findings: [] };
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

const budgetNeedsLedger =
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

function assemble(file: ParsedFile, flags: FlagValues, folder: string): Config {
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
