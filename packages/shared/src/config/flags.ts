import { parseArgs } from 'node:util';
import { readCount, readDatabaseUrl, readRedisUrl, readText, type Read } from './fields.ts';
import { hint, quote } from './rules.ts';
import { settings, type Setting } from './setting-defaults.ts';
import type { Role } from './types.ts';

/**
 * Flags and their environment variables. A flag beats the variable, the variable beats the file.
 * An empty variable counts as one that is not set.
 */
const flags = {
  config: { env: 'MILLRACE_CONFIG', value: 'FILE', help: 'the config file (YAML)' },
  port: { env: 'PORT', value: 'N', setting: 'listen.port' },
  host: { env: 'HOST', value: 'H', setting: 'listen.host' },
  redis: { env: 'REDIS_URL', value: 'URL', help: 'a shared Redis instead of the embedded one' },
  database: {
    env: 'DATABASE_URL',
    value: 'URL',
    help: 'the database of the ledger: sqlite:PATH, postgres://…, or none',
  },
  workers: { env: 'MILLRACE_WORKERS', value: 'N', setting: 'workers', only: ['start'] },
  ingresses: { env: 'MILLRACE_INGRESSES', value: 'N', setting: 'ingresses', only: ['start'] },
  'admin-port': {
    env: 'MILLRACE_ADMIN_PORT',
    value: 'N',
    setting: 'adminPort',
    only: ['admin'],
  },
  'health-port': {
    env: 'MILLRACE_HEALTH_PORT',
    value: 'N',
    setting: 'healthPort',
    only: ['worker', 'admin'],
  },
  data: { env: 'MILLRACE_DATA', value: 'DIR', setting: 'data' },
} as const satisfies Record<string, Flag>;

type Flag = {
  readonly env: string;
  readonly value: string;
  readonly help?: string;
  readonly setting?: keyof typeof settings;
  /** The roles that have it; absent: all. */
  readonly only?: readonly Role[];
};
type FlagName = keyof typeof flags;
const flagNames = Object.keys(flags) as FlagName[];

export type FlagValues = {
  readonly config?: string;
  readonly port?: number;
  readonly host?: string;
  readonly redis?: string;
  readonly database?: string;
  readonly adminPort?: number;
  readonly healthPort?: number;
  readonly workers?: number;
  readonly ingresses?: number;
  readonly data?: string;
  readonly help: boolean;
  readonly problems: readonly string[];
};

/** Never throws; `problems` lists every mistake with the name of its flag or variable. */
export function readFlags(argv: readonly string[], env: NodeJS.ProcessEnv, role: Role): FlagValues {
  const given = readArguments(argv, role);
  const problems = [...given.problems];
  const read = <T>(name: FlagName, reader: (value: unknown) => Read<T>): T | undefined => {
    const flag: Flag = flags[name];
    const fromFlag = given.values.get(name);
    const text = fromFlag ?? (isOf(flag, role) ? env[flag.env] : '') ?? '';
    if (fromFlag === undefined && text === '') return undefined;
    const result = reader(text);
    if ('value' in result) return result.value;
    const found =
      name === 'redis' || name === 'database'
        ? 'something else (not shown, it may hold a password)'
        : quote(text);
    const where = fromFlag === undefined ? flag.env : `--${name}`;
    problems.push(`${where}: expected ${result.expected}, found ${found}`);
    return undefined;
  };
  return {
    config: read('config', readText('the path of a file')),
    port: read('port', readCount(settings['listen.port'])),
    host: read('host', readText('an address or host name')),
    redis: read('redis', readRedisUrl),
    database: read('database', readDatabaseUrl),
    adminPort: read('admin-port', readCount(settings.adminPort)),
    healthPort: read('health-port', readCount(settings.healthPort)),
    workers: read('workers', readCount(settings.workers)),
    ingresses: read('ingresses', readCount(settings.ingresses)),
    data: read('data', readText('the path of a folder')),
    help: given.help,
    problems,
  };
}

const isOf = ({ only }: Flag, role: Role): boolean => only?.includes(role) ?? true;

function readArguments(argv: readonly string[], role: Role) {
  const { tokens } = parseArgs({
    args: [...argv],
    options: {
      ...Object.fromEntries(flagNames.map((name) => [name, { type: 'string' as const }])),
      help: { type: 'boolean', short: 'h' },
    },
    strict: false, // which would stop at the first problem
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string>();
  const problems: string[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === 'positional') problems.push(`unexpected argument ${quote(token.value)}`);
    if (token.kind !== 'option') continue;
    const flag: Flag | undefined = flagNames.includes(token.name as FlagName)
      ? flags[token.name as FlagName]
      : undefined;
    if (token.name === 'help') help = true;
    else if (!flag) problems.push(`${token.rawName}: unknown flag${hint(token.name, flagNames)}`);
    else if (flag.only && !isOf(flag, role)) {
      const those = flag.only.map((one) => commands[one]).join(' and ');
      problems.push(`--${token.name}: only ${those} has this flag`);
    } else if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--'))) {
      problems.push(`--${token.name}: expected a value, found nothing`);
    } else values.set(token.name, token.value);
  }
  return { values, problems, help };
}

const commands: Record<Role, string> = {
  start: 'npm start',
  ingress: 'npm run ingress',
  worker: 'npm run worker',
  admin: 'npm run admin',
};

/** The text of `--help`: every flag with its variable and default, every field of the file. */
export function usage(role: Role): string {
  const rows = flagNames
    .map((name): [string, Flag] => [name, flags[name]])
    .filter(([, flag]) => isOf(flag, role))
    .map(([name, { env, value, help, setting }]) => {
      const described = setting ? settings[setting] : undefined;
      const fallback = described ? ` (default ${printDefault(described)})` : '';
      return [`--${name} ${value}`, env, `${help ?? described?.help ?? ''}${fallback}`];
    });
  const fields = Object.entries<Setting>(settings)
    .filter(([name]) => !['workers', 'ingresses', 'adminPort', 'healthPort', 'data'].includes(name))
    .map(([name, setting]) => [name, printDefault(setting), setting.help]);
  return [
    `Usage: ${commands[role]} -- [flags]`,
    '',
    'Flags, and the environment variables for them. A flag beats the variable, the variable beats the file.',
    ...table([...rows, ['--help', '', 'this text']]),
    '',
    'Fields of the config file that have a default (* is a name that you choose):',
    ...table(fields),
    '',
  ].join('\n');
}

function printDefault(setting: Setting): string {
  return 'written' in setting ? setting.written.default : String(setting.default);
}

function table(rows: readonly string[][]): string[] {
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows.map(([first = '', second = '', third = '']) =>
    `  ${first.padEnd(width(0))}  ${second.padEnd(width(1))}  ${third}`.trimEnd(),
  );
}
