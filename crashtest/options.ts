import { parseArgs } from 'node:util';
import type { CrashCase, ProfileName, ProviderCase } from './case.ts';
import { CASES } from './cases/index.ts';
import { NOT_RUN } from './cases/not-run.ts';
import type { NotRun } from './cases/not-run.ts';
import { aliasOf } from './rig.ts';
import type { Target } from './rig.ts';

export type Options = {
  cases: readonly CrashCase[];
  /** The matching cases that are not run. */
  notRun: readonly NotRun[];
  profile: ProfileName;
  /** Absent: Millrace, with processes of its own. */
  target?: Target;
  /** The alias of each case. */
  aliases: ReadonlyMap<string, string>;
  /** The file of the JSON; absent: crashtest/results/, named after the date. */
  json?: string;
};

export const USAGE = `npm run crashtest -- [--profile fast|full] [--only S08,M01] [--json FILE]

  S01 to S16  the public fault catalogue: a provider that misbehaves, one reader
  B01 to B16  backups that do not repeat the answer, after a cut in mid-answer
  M01 to M11  workers, ingresses, Redis and clients that die, hang, restart or leave; M06 and M08
              are not played, and the scorecard says why

  --profile P    full (default): the catalogue's own times; fast: shortened, about a minute
  --only LIST    only these; a letter or the beginning of an id stands for all of them
  --json FILE    where the JSON goes (default crashtest/results/DATE.json)
  --list         prints the cases with the models of the two providers, and runs nothing

Each case is a pass, partial (rescued, but too many, too early or useless requests), safe (one clear
error, nothing truncated or doubled) or a fail. The exit code is 0 when every verdict is right.

Another proxy, any that speaks the OpenAI API:

  --base-url URL     its base URL (or --target URL)
  --model CASE[=ALIAS]   a case to run and the model to ask for; the alias is the id in small letters
                     where none is given; several times, or separated by commas
  --api-key KEY      or the environment's CRASHTEST_API_KEY
  --primary-port N   where the two simulated providers listen, so that the proxy can be told
  --backup-port N    (defaults 18801 and 18802)

Tell that proxy of two providers with an OpenAI API, http://127.0.0.1:18801/v1 and
http://127.0.0.1:18802/v1, any key. Then give it one model for each case, with the first provider's
model as its target and the second provider's as its fallback; --list prints both. For example S08:

  s08   first  http://127.0.0.1:18801/v1  model s08
        then   http://127.0.0.1:18802/v1  model healthy

  npm run crashtest -- --base-url http://127.0.0.1:4000 --model S08 --model S13=my-filtered-model
`;

/** Throws with a message for the user if the arguments are invalid. */
export function parseOptions(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Options | 'help' | { list: ProfileName } {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      profile: { type: 'string', default: 'full' },
      only: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
      target: { type: 'string' },
      'base-url': { type: 'string' },
      model: { type: 'string', multiple: true, default: [] },
      'api-key': { type: 'string' },
      'primary-port': { type: 'string', default: '18801' },
      'backup-port': { type: 'string', default: '18802' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const { profile, json } = values;
  if (profile !== 'fast' && profile !== 'full')
    throw new Error(`--profile ${profile}: fast or full`);
  if (values.list) return { list: profile };
  const baseUrl = values['base-url'] ?? values.target;
  const named = split(values.model);
  if (baseUrl === undefined && named.length > 0) throw new Error('--model needs --base-url');
  const aliases = baseUrl === undefined ? ownAliases() : mappedAliases(named);
  const only = split(values.only).map((name) => name.toUpperCase());
  const cases = chosen(CASES, only).filter(({ id }) => baseUrl === undefined || aliases.has(id));
  const notRun = baseUrl === undefined ? chosen(NOT_RUN, only) : [];
  checkNames(only);
  if (cases.length === 0) {
    const reasons = notRun.map(({ id, reason }) => ` (${id}: ${reason})`);
    throw new Error(`no case is left to run${reasons.join('')}`);
  }
  return {
    cases,
    notRun,
    profile,
    aliases,
    ...(json === undefined ? {} : { json }),
    ...(baseUrl === undefined
      ? {}
      : {
          target: {
            baseUrl: readUrl(baseUrl),
            apiKey: values['api-key'] ?? env['CRASHTEST_API_KEY'],
            primaryPort: readPort('--primary-port', values['primary-port']),
            backupPort: readPort('--backup-port', values['backup-port']),
          },
        }),
  };
}

export const isProviderCase = (one: CrashCase): one is ProviderCase => one.kind === 'provider';

const split = (lists: readonly string[]): string[] =>
  lists.flatMap((list) => list.split(',')).filter((name) => name !== '');

function checkNames(only: readonly string[]): void {
  const all = [...CASES, ...NOT_RUN];
  const unknown = only.find((name) => !all.some(({ id }) => id.startsWith(name)));
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: no such case; --list prints them`);
  }
}

/** The cases whose id begins with one of the names; all if there are none. */
const chosen = <T extends { id: string }>(from: readonly T[], only: readonly string[]): T[] =>
  from.filter(({ id }) => only.length === 0 || only.some((name) => id.startsWith(name)));

const ownAliases = (): Map<string, string> =>
  new Map(CASES.filter(isProviderCase).map((one) => [one.id, aliasOf(one)]));

function mappedAliases(named: readonly string[]): Map<string, string> {
  const known = ownAliases();
  const aliases = named.map((text): [string, string] => {
    const [name = '', ...rest] = text.split('=');
    const id = name.toUpperCase();
    const usual = known.get(id);
    if (usual === undefined) throw new Error(`--model ${text}: no provider's case ${id}`);
    return [id, rest.join('=') || usual];
  });
  if (aliases.length === 0) throw new Error('--base-url needs at least one --model');
  return new Map(aliases);
}

function readUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:/u.test(text)) throw new Error(`no base URL: ${text}`);
  return text;
}

function readPort(flag: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`${flag} ${text}`);
  return port;
}
