import { ConfigError, loadConfig } from '@millrace/shared/config';
import type { Config } from '@millrace/shared/config';
import { checkCertificates } from '../doctor/certificates.ts';
import { ok, problem, warning } from '../doctor/check.ts';
import type { Check, Verdict } from '../doctor/check.ts';
import { checkDatabase } from '../doctor/database.ts';
import { checkProviders } from '../doctor/providers.ts';
import { checkRedis } from '../doctor/redis.ts';
import { readJson, Unreachable } from '../http/ingress.ts';
import type { Ingress } from '../http/ingress.ts';
import { CommandFailed } from '../io.ts';
import type { Io } from '../io.ts';
import { plural } from '../output/format.ts';
import { oneLine } from '../output/table.ts';
import { readReadiness } from './status.ts';

export type DoctorOptions = {
  config?: string;
  redis?: string;
  database?: string;
  /** Milliseconds for each answer. */
  timeout: number;
  json?: true;
};

/** `doctor`: one line for each check. `ingress`: undefined unless the operator has named one. */
export async function doctor(
  { env, out }: Io,
  options: DoctorOptions,
  ingress: Ingress | undefined,
): Promise<void> {
  const { checks: first, config, notRunning } = readConfig(options, env);
  const now = Date.now();
  const { timeout: timeoutMs } = options;
  const { queueMemory } = config.limits;
  const [redis, database, providers, fleet] = await Promise.all([
    checkRedis(config.redis.url, { timeoutMs, queueMemory }),
    checkDatabase(config.database?.url, timeoutMs),
    checkProviders(config, { timeoutMs, now, notRunning }),
    ingress ? checkFleet(ingress) : [],
  ]);
  const checks = [
    ...first,
    ...redis,
    database,
    ...providers,
    ...checkCertificates(config, now),
    ...fleet,
  ];
  out(options.json ? `${JSON.stringify(checks, null, 2)}\n` : checksText(checks));
  if (checks.some(({ verdict }) => verdict === 'problem')) throw new CommandFailed('');
}

type Read = { checks: Check[]; config: Config; notRunning: readonly string[] };

/** With a config that is not valid, the rest is checked as far as flags and variables name it. */
function readConfig({ config: flag, redis, database }: DoctorOptions, env: Io['env']): Read {
  const file = flag ?? (env['MILLRACE_CONFIG'] || undefined);
  const others = [
    ...(redis === undefined ? [] : ['--redis', redis]),
    ...(database === undefined ? [] : ['--database', database]),
  ];
  const load = (argv: readonly string[], variables: Io['env']) => {
    const { config, warnings, options } = loadConfig({ argv, env: variables, role: 'start' });
    return { config, warnings, notRunning: options.simulated };
  };
  const without = () => {
    try {
      return load(others, { ...env, MILLRACE_CONFIG: '' });
    } catch (error) {
      // A flag or a variable is wrong: the problems have named it.
      if (!(error instanceof ConfigError)) throw error;
      return load([], {});
    }
  };
  try {
    const { warnings, ...loaded } = load(
      [...(file === undefined ? [] : ['--config', file]), ...others],
      env,
    );
    const found =
      file === undefined ? 'no file: npm start serves its simulated models' : `${file} is valid`;
    const doubts = warnings.map((text) => warning('config', text, 'See docs/operating.md.'));
    return { ...loaded, checks: [ok('config', found), ...doubts] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const advice = 'Correct it: no process starts with it.';
    const { config, notRunning } = without();
    const checks = error.problems.map((text) => problem('config', text, advice));
    return { config, notRunning, checks };
  }
}

async function checkFleet(ingress: Ingress): Promise<Check[]> {
  const name = 'fleet';
  try {
    const response = await ingress.open('/readyz');
    const { status, reasons } = readReadiness(await readJson(response));
    if (status === 'ready') return [ok(name, `${response.ingress} is ready`)];
    const found = `${response.ingress} is ${status}: ${reasons.join('; ')}`;
    return [problem(name, found, 'millrace status shows its processes.')];
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    return [problem(name, error.message, 'Start it, or correct --url or MILLRACE_URL.')];
  }
}

/** Verdict, name and finding in columns, and the advice below them. */
export function checksText(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ verdict, name, found, advice }) => {
    const line = `${verdict.padEnd(verdictWidth)}  ${name.padEnd(width)}  ${oneLine(found)}`;
    return advice === undefined ? `${line}\n` : `${line} -> ${oneLine(advice)}\n`;
  });
  const count = (verdict: Verdict) => checks.filter((one) => one.verdict === verdict).length;
  const sum = `${plural(count('problem'), 'problem')}, ${plural(count('warning'), 'warning')}`;
  return `${lines.join('')}${sum}\n`;
}

const verdictWidth = 'problem'.length;
